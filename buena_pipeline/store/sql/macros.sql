-- Look-ups: who has this address, who has this profile. Plain SQL that any DuckDB from 1.4 on runs; rebuilt with the views.
-- list_transform([x], lambda y: ...)[1] gives a value a name, so that it is computed once.

create or replace macro is_plain_address(cell) as
    regexp_matches(cell, '^[a-z0-9_][a-z0-9._%+''-]*@(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z](?:[a-z0-9-]*[a-z0-9])$')
    and strlen(cell) <= 254;

create or replace macro mailbox_of(address) as
list_transform([regexp_replace(address, '^([^@+]+)\+[^@]*@', '\1@')], lambda mailbox:
    case when regexp_matches(mailbox, '@(?:gmail|googlemail)\.com$')
         then replace(regexp_replace(mailbox, '@(?:gmail|googlemail)\.com$', ''), '.', '') || '@gmail.com'
         else mailbox end
)[1];

create or replace macro address_in_display_form(cell) as
rtrim(ltrim(regexp_replace(ltrim(
    regexp_replace(cell, '^[\p{L}\p{M}\p{N} .''"&()/_-]*<([^<>]*)> *$', '\1'),
    e' \t\r\n"''`:/\\*'), '^mailto:', ''), e' \t\r\n"''`:/\\*'), e' \t\r\n"''`/\\*.');

create or replace macro first_possible_address(cell) as
list_transform([
    -- nfc_normalize ends at a zero
    case when regexp_matches(cell, '^[\x00-\x7f]*$') then cell when not contains(cell, chr(0))
         then regexp_replace(nfc_normalize(replace(cell, chr(160), ' ')), '\p{Cf}', '', 'g') end
], lambda visible:
    case when regexp_matches(visible,
        '^[\x00-\x7f\x{df}-\x{f6}\x{f8}-\x{131}\x{134}-\x{13e}\x{141}-\x{148}\x{14a}-\x{17e}‘’“”«»–—]*$')
    then list_transform([list_filter(list_transform(string_split(
        regexp_replace(regexp_replace(regexp_replace(regexp_replace(replace(visible, 'mailto:', ''),
            '(@[^\t-\r <>;,?]*)\?[^\t-\r <>;,]*', '\1', 'g'),
            '[^;,\r\n<>]*<([^<>]*)>', ';\1;', 'g'),
            '(@[^\t-\r ;,|]+)[\t-\r ]+', '\1;', 'g'),
            '[,|<>()\[\]\r\n\t]', ';', 'g'),
        ';'),
        lambda part: rtrim(trim(part, e' \t"''`´‘’“”«»:/\\*'), e' \t"''`´‘’“”«»:/\\*.')),
        lambda part: regexp_matches(part,
            '^[^. @<>()\[\],;:|\\"\x00-\x1f\x7f][^ @<>()\[\],;:|\\"\x00-\x1f\x7f]*@[^ @<>()\[\],;:|\\"\x00-\x1f\x7f]+\.[^ @<>()\[\],;:|\\"\x00-\x1f\x7f]+$'))],
        lambda found: list_filter(
            list_filter(found, lambda part, place: list_position(found, part) = place)[1:5],
            lambda part: regexp_matches(part, '@.*[^\x00-\x7f]')
                or regexp_matches(part, '^.+@(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z](?:[a-z0-9-]*[a-z0-9])$') and strlen(part) <= 254
        )[1]
    )[1] end
)[1];

-- The mailbox behind the first usable e-mail address of a text, as normalize/email.py has it, regular expression by regular
-- expression; tests hold the two against each other. Null, never another mailbox, where SQL cannot tell:
--   - the domain is not in its ASCII form (bücher.example instead of xn--bcher-kva.example), or
--   - the address does not stand alone or as in "Jörg <joerg@x.example>", and the text has other characters than ASCII,
--     accented Latin letters, quotation marks and dashes.
create or replace macro buena_email_key(written) as
list_transform([lower(replace(written::varchar, 'İ', 'i̇'))], lambda cell:
    case when is_plain_address(cell) then mailbox_of(cell)
    else list_transform([address_in_display_form(cell)], lambda bare:
        case when is_plain_address(bare) then mailbox_of(bare)
        else list_transform([first_possible_address(cell)], lambda address:
            -- a domain that has no ASCII form yet
            case when regexp_matches(address, '@.*[^\x00-\x7f]') then null else mailbox_of(address) end
        )[1] end
    )[1] end
)[1];

create or replace macro without_invisible(written) as
    -- the white space of Unicode around it, too
    regexp_replace(regexp_replace(written, '\p{Cf}', '', 'g'),
        '^[\t-\r \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]+'
        '|[\t-\r \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]+$', '', 'g');

-- The public URLs of before 2015 in today's form.
create or replace macro modern_profile(url) as
list_transform([regexp_extract(url,
    '(?i)(?:^|/)pub/+([^/?#\t-\r \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]+)/+([0-9a-z]{1,3})/+([0-9a-z]{1,3})/+([0-9a-z]{1,3})(?:[/?#\t-\r \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]|$)',
    ['name', 'a', 'b', 'c'])], lambda part:
    case when part.name <> '' then concat('in/', part.name, '-', lpad(part.c, 3, '0'), lpad(part.b, 3, '0'), part.a)
         when not regexp_matches(url, '(?i)pub/+dir/') then url end
)[1];

-- Null where it is no UTF-8.
create or replace macro percent_decoded(slug) as
    case when contains(slug, '%') then try(url_decode(url_decode(url_decode(url_decode(slug))))) else slug end;

-- What names the person in the URL of a LinkedIn profile, as normalize/linkedin.py has it. Null, never another slug, where SQL
-- cannot tell: percent-encoding that is no UTF-8 or goes deeper than four times, a Greek sigma, and capital letters that came
-- to Unicode after 2021.
create or replace macro buena_linkedin_slug(written) as
list_transform([trim(written::varchar, concat(e' \t\r\n<>()[]"''', chr(160), chr(65279), chr(31)))], lambda given:
list_transform([case when regexp_matches(given, '[^\x00-\x7f]') then without_invisible(given) else given end], lambda visible:
list_transform([case when regexp_matches(visible, '(?i)(?:^|/)pub/') then modern_profile(visible) else visible end], lambda url:
list_transform([
    case when regexp_matches(url, '(?i)^(?:(?:https?:/*|//)?(?:[a-z0-9-]+\.)*linkedin\.com\.?(?::\d+)?/+|/?)(?:(?:mwlite|comm)/+)?(?:in|pub)/+')
    then percent_decoded(regexp_replace(
        regexp_replace(url, '(?i)^(?:(?:https?:/*|//)?(?:[a-z0-9-]+\.)*linkedin\.com\.?(?::\d+)?/+|/?)(?:(?:mwlite|comm)/+)?(?:in|pub)/+', ''),
        '(?s)(?:[\t-\r \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]*[/?#\r\n\t,;|<>()"''].*|\.+)$', ''))
    end
], lambda decoded:
list_transform([
    case when contains(decoded, chr(0)) then null
         when regexp_matches(decoded, '[^\x00-\x7f]') then nfc_normalize(without_invisible(decoded))
         else decoded end
], lambda slug:
    case when regexp_matches(slug, '[\t-\r \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}.@%<>()\[\]{}\\/?#&=:;,|"''\x00-\x1f\x7f]')
           or slug in ('', 'me', 'Me', 'ME', 'unknown', 'Unknown', 'UNKNOWN', 'unavailable', 'Unavailable')
           or regexp_matches(slug, '[Σ\x{1c89}\x{a7cb}-\x{a7dc}\x{10d50}-\x{10d65}\x{16ea0}-\x{16eb8}]') then null
         when regexp_matches(slug, '[^\x00-\x7f]') then nfc_normalize(lower(replace(slug, 'İ', 'i̇')))
         else lower(slug) end
)[1])[1])[1])[1])[1];

-- A key as the table identity has it.
create or replace macro buena_key(kind, normalised) as
    case when kind is not null and normalised is not null then md5(concat(kind, chr(31), normalised))::uuid end;

-- The rows of leads of those to whom a key leads. Everybody's answers are not read for it, as a filter on leads would.
create or replace macro leads_of_key(wanted) as table
with known as (select person_id from known_key where key = wanted),
-- under whichever ids their answers came
alias as (select person_id from known union all select person_id from same_person where same_as in (from known)),
answer_of_key as (
    select answer.* replace (coalesce(same_as, answer.person_id) as person_id)
    from answer left join same_person using (person_id)
    where answer.person_id in (from alias)
)
from newest_answers('answer_of_key');

create or replace macro buena_lead(address) as table
from leads_of_key(buena_key('email', buena_email_key(address)));

create or replace macro buena_profile(url) as table
from leads_of_key(buena_key('linkedin', buena_linkedin_slug(url)));

comment on macro buena_email_key is 'The mailbox behind the first usable e-mail address of a text, equal for all its spellings; null where there is none, or SQL cannot tell (a domain like bücher.example).';
comment on macro buena_linkedin_slug is 'The slug of the LinkedIn profile that a URL leads to, equal for all its spellings; null where it leads to none, or SQL cannot tell.';
comment on macro buena_key is 'The key of a normalised value, as in identity and known_key: kind is email or linkedin.';
comment on macro table buena_lead is 'The row of leads of whoever has this e-mail address, however it is spelled.';
comment on macro table buena_profile is 'The row of leads of whoever has this LinkedIn profile, however its URL is spelled.';
comment on macro table leads_of_key is 'The row of leads of the person to whom a key leads.';
comment on macro is_plain_address is 'A part of buena_email_key.';
comment on macro mailbox_of is 'A part of buena_email_key.';
comment on macro address_in_display_form is 'A part of buena_email_key.';
comment on macro first_possible_address is 'A part of buena_email_key.';
comment on macro without_invisible is 'A part of buena_linkedin_slug.';
comment on macro modern_profile is 'A part of buena_linkedin_slug.';
comment on macro percent_decoded is 'A part of buena_linkedin_slug.';
