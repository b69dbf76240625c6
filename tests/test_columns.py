"""Header detection: known exports work without help, and whatever is not clear is said, not guessed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from buena_pipeline.columns import (
    LeadColumns,
    describe_columns,
    find_columns,
    require_columns,
    unread_columns,
)
from buena_pipeline.errors import ColumnError

DATA = Path(__file__).parent / "data"


def table(*names: str) -> pl.Schema:
    """The schema of a table of text with these columns."""
    return pl.Schema(dict.fromkeys(names, pl.String))


EXPORTS = {
    "hubspot": LeadColumns(
        ("Email", "Work email", "Additional email addresses"),
        "LinkedIn URL",
        "First Name",
        "Last Name",
        None,
        "Company Name",
    ),
    "hubspot-with-associations-only": LeadColumns(
        ("Email",), None, "First Name", "Last Name", None, "Associated Company"
    ),
    "hubspot-properties": LeadColumns(
        ("email", "hs_additional_emails", "work_email"),
        "hs_linkedin_url",
        "firstname",
        "lastname",
        None,
        "company",
    ),
    "salesforce-lead-report": LeadColumns(
        ("Email",), None, "First Name", "Last Name", None, "Company / Account"
    ),
    "salesforce-contact-report": LeadColumns(
        ("Email",), None, "First Name", "Last Name", None, "Account Name"
    ),
    "salesforce-custom-report": LeadColumns(
        ("Contact: Email",), None, None, None, "Contact: Full Name", "Account: Account Name"
    ),
    "salesforce-api": LeadColumns(
        ("Email", "npe01__WorkEmail__c"), "LinkedIn_URL__c", "FirstName", "LastName", "Name", "Company"
    ),
    "salesforce-soql": LeadColumns(("Email",), None, "FirstName", "LastName", None, "Account.Name"),
    "apollo": LeadColumns(
        ("Email", "Secondary Email", "Tertiary Email"),
        "Person Linkedin Url",
        "First Name",
        "Last Name",
        None,
        "Company Name",
    ),
    "apollo-as-it-was": LeadColumns(
        ("Email",), "Person Linkedin Url", "First Name", "Last Name", None, "Company"
    ),
    "linkedin-connections": LeadColumns(
        ("Email Address",), "URL", "First Name", "Last Name", None, "Company"
    ),
    "sales-navigator-tool": LeadColumns(
        (), "linkedInProfileUrl", "firstName", "lastName", "fullName", "companyName"
    ),
    "outlook": LeadColumns(
        ("E-mail Address", "E-mail 2 Address", "E-mail 3 Address"),
        None,
        "First Name",
        "Last Name",
        None,
        "Company",
    ),
    "outlook-on-the-web": LeadColumns(("E-mail Address",), None, "First Name", "Last Name", None, "Company"),
    "google-as-it-was": LeadColumns(
        ("E-mail 1 - Value", "E-mail 2 - Value"),
        None,
        "Given Name",
        "Family Name",
        "Name",
        "Organization 1 - Name",
    ),
    "google": LeadColumns(
        ("E-mail 1 - Value", "E-mail 2 - Value"), None, "First Name", "Last Name", None, "Organization Name"
    ),
    "pipedrive": LeadColumns(
        ("Person - Email - Work", "Person - Email - Home"),
        None,
        None,
        None,
        "Person - Name",
        "Person - Organization",
    ),
    "hubspot-in-german": LeadColumns(
        ("E-Mail",), "LinkedIn-URL", "Vorname", "Nachname", None, "Unternehmensname"
    ),
    "salesforce-report-in-german": LeadColumns(("E-Mail",), None, "Vorname", "Nachname", None, "Firma"),
    "outlook-in-german": LeadColumns(
        ("E-Mail-Adresse", "E-Mail 2: Adresse"), None, "Vorname", "Nachname", None, "Firma"
    ),
    "a-list-in-two-languages": LeadColumns(
        ("E-Mail / Email",),
        "LinkedIn Profil URL",
        "Vorname / First Name",
        "Nachname / Last Name",
        None,
        "Firma / Company",
    ),
    "hubspot-in-french": LeadColumns(
        ("Adresse e-mail",), "URL du profil LinkedIn", "Prénom", "Nom", None, "Nom de l'entreprise"
    ),
    "outlook-in-french": LeadColumns(("Adresse de messagerie",), None, "Prénom", "Nom", None, "Société"),
    "salesforce-report-in-french": LeadColumns(
        ("Courriel",), None, "Prénom", "Nom de famille", None, "Nom du compte"
    ),
    "hubspot-in-spanish": LeadColumns(
        ("Correo",), "Perfil de LinkedIn", "Nombre", "Apellidos", None, "Nombre de la empresa"
    ),
    "outlook-in-spanish": LeadColumns(
        ("Dirección de correo electrónico",), None, "Nombre", "Apellidos", None, "Organización"
    ),
    "a-list-bought-at-a-fair": LeadColumns(("Mail",), None, "First", "Last", None, "Employer"),
}


@pytest.mark.parametrize("export", EXPORTS)
def test_known_exports_need_no_help(export: str) -> None:
    """The columns of every export that is known are found, and nothing else is taken for them."""
    schema = pl.scan_csv(DATA / "headers" / f"{export}.csv").collect_schema()
    assert find_columns(schema) == EXPORTS[export]


@pytest.mark.parametrize(
    ("file", "emails"),
    [
        ("leads-1000.csv", ("Email 1", "Email 2")),
        ("leads-duplicates-1000.csv", ("Email 1", "Email 2")),
        ("customers-1000.csv", ("Email",)),
    ],
)
def test_tables_of_other_tools(file: str, emails: tuple[str, ...]) -> None:
    """Lead tables that nobody here wrote are understood as they are."""
    schema = pl.scan_csv(DATA / file).collect_schema()
    assert find_columns(schema) == LeadColumns(emails, None, "First Name", "Last Name", None, "Company")


@pytest.mark.parametrize(
    "header",
    [
        "E-mail",
        "e_mail",
        "EMAIL ADDRESS",
        "\ufeffEmail",
        "Primary Email",
        "Personal Email",
        "Email (Work)",
        "email2",
        "Alternate E-Mail",
        "Business email address",
        "Email ID",
        "Contact Email",
        "ｅｍａｉｌ",
        "Other Email 3",
        "E-Mail (geschäftlich)",
        "Geschäftliche E-Mail-Adresse",
        "E-Mail privat",
        "Mailadresse",
        "Adresse mail",
        "Courriel",
        "E-mail professionnel",
        "Adresse électronique",
        "Correo electrónico",
        "Correo electrónico del trabajo",
        "Correo 2",
        "Kontakt: E-Mail",
        "Email / Correo",
    ],
)
def test_email_headers(header: str) -> None:
    """Case, spaces, punctuation and a byte order mark make no difference, nor does whose address it is."""
    assert find_columns(table("id", header)).email == (header,)


@pytest.mark.parametrize(
    "header",
    [
        "Email Status",
        "Email Confidence",
        "Email Opt Out",
        "Email Domain",
        "Contact owner email",
        "Company email",
        "Company Linkedin Url",
        "LinkedIn Connections",
        "URL",
        "Website",
        "Mailing Address",
        "Lead Owner Email",
        "E-mail 1 - Type",
        "Emails sent",
        "LinkedIn Bio",
        "Email Opened",
        "E-Mail-Status",
        "Firmen-E-Mail",
        "E-Mail der Firma",
        "Adresse",
        "Messagerie",
        "Correo postal",
        "Tipo de correo",
        "LinkedIn Unternehmen",
        "URL LinkedIn de l'entreprise",
        "Email / Phone",
    ],
)
def test_what_only_looks_like_an_identifier(header: str) -> None:
    """Columns about an address or about the company are not taken for the person's."""
    with pytest.raises(ColumnError, match="No column says who the leads are"):
        find_columns(table(header, "Company Size"))


@pytest.mark.parametrize(
    "header", ["Company Size", "Company Domain", "Company City", "Company Id", "Account Owner"]
)
def test_what_only_looks_like_a_company(header: str) -> None:
    """Columns about the company are not taken for its name."""
    assert find_columns(table("Email", header)).company is None


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("Email;Nom;Prénom", {"first_name": "Prénom", "last_name": "Nom"}),
        ("Email;Nom", {}),  # of a person or of a firm, nobody knows
        ("Email;Nom;Société", {"company": "Société"}),
        ("Email;Nom;Nom de famille;Prénom", {"first_name": "Prénom", "last_name": "Nom de famille"}),
        ("Email;Nombre;Apellido", {"first_name": "Nombre", "last_name": "Apellido"}),
        ("Email;Nombre;Empresa", {"company": "Empresa"}),
        ("Email;Name;Vorname", {"first_name": "Vorname", "full_name": "Name"}),
        (
            "Email;Vorname;Nachname;Name",
            {"first_name": "Vorname", "last_name": "Nachname", "full_name": "Name"},
        ),
        ("Email;Vorname/Nachname", {"full_name": "Vorname/Nachname"}),
        ("Email;Nom / Prénom", {}),  # the last name first: it would be split the wrong way round
        ("Email;Nachname, Vorname", {}),
        ("Email;First / Last", {}),
        ("Email;Nom / Name;Vorname / Prénom", {"first_name": "Vorname / Prénom"}),
        ("Email;Firma", {"company": "Firma"}),
        ("Email;Nombre;Apellidos;Firma", {"first_name": "Nombre", "last_name": "Apellidos"}),  # a signature
        ("Email;Company;Firma", {"company": "Company"}),
        ("Email;Firmengröße;Unternehmens-ID;Nom du produit;Nombre de usuario", {}),
        ("Email;Name / Firma;Company / Phone", {}),
    ],
)
def test_what_other_languages_mean(names: str, expected: dict[str, str]) -> None:
    """Words that mean several things count only beside what makes them clear, and never wrongly."""
    found = find_columns(table(*names.split(";"))).as_overrides()
    assert found.pop("email") == "Email"
    assert found == expected


def test_two_candidates_of_other_languages_are_named() -> None:
    """As in English; they are not guessed at either."""
    for names in (("Firma", "Unternehmen"), ("Société", "Entreprise"), ("Firma / Company", "Arbeitgeber")):
        with pytest.raises(ColumnError, match="could each be the company"):
            find_columns(table("Email", *names))


@pytest.mark.parametrize(
    ("names", "overrides", "expected"),
    [
        ("E-Mail;Li-Profil (LinkedIn)", {}, {"Li-Profil (LinkedIn)": "linkedin_url"}),
        ("LinkedIn;Mail vom Vertrieb;Unternehmen (lt. Website)", {}, {"Mail vom Vertrieb": "email"}),
        ("Email;Bevorzugte Firma;URL", {}, {"Bevorzugte Firma": "company", "URL": "linkedin_url"}),
        ("Email;Vorname;Name", {}, {"Name": "last_name"}),
        ("Email;Vorname;Nachname;Name", {}, {}),
        ("Email;Company;Firma", {}, {"Firma": "company"}),
        ("Email;Company;Firma", {"company": "Company"}, {}),
        ("Email;Firma x", {"company": None}, {}),
        ("Email;Email Status;Company Size;Company Linkedin Url;Owner;Lead Owner Name;City", {}, {}),
        ("Email;Nom", {}, {"Nom": "full_name"}),
    ],
)
def test_what_was_perhaps_overlooked(
    names: str, overrides: dict[str, str | None], expected: dict[str, str]
) -> None:
    """Headers that look as if they said who a lead is, unless that is settled or they are about something."""
    schema = table(*names.split(";"))
    assert unread_columns(schema, find_columns(schema, overrides), overrides) == expected


def test_email_columns_stay_in_table_order() -> None:
    """The first e-mail column of the table comes first, whatever it is called."""
    assert find_columns(table("Email 2", "Work Email", "Email")).email == ("Email 2", "Work Email", "Email")


def test_two_candidates_are_named_with_the_cure() -> None:
    """Two possible companies stop with both names, the field and what to write, and the cure works."""
    schema = table("Email", "Company", "Organization")
    with pytest.raises(ColumnError) as caught:
        find_columns(schema)
    assert '"Company" and "Organization" could each be the company' in str(caught.value)
    assert 'columns={"company": "Company"}' in str(caught.value)
    assert caught.value.columns == ("Company", "Organization")
    assert find_columns(schema, {"company": "Organization"}).company == "Organization"
    assert find_columns(schema, {"company": None}).company is None


@pytest.mark.parametrize(
    ("header", "enough"),
    [
        ("Email", True),
        ("LinkedIn", True),
        ("First Name;Last Name;Company", True),
        ("Full Name;Company", True),
        ("First Name;Last Name", False),
        ("First Name;Company", False),
        ("Name;Industry", False),
        ("Company", False),
    ],
)
def test_what_is_enough_to_identify(header: str, *, enough: bool) -> None:
    """An address, a profile, or a whole name with a company is enough; less is refused."""
    schema = table(*header.split(";"))
    if enough:
        assert find_columns(schema).can_identify
    else:
        with pytest.raises(ColumnError, match="Needed is"):
            find_columns(schema)


def test_a_table_without_leads_is_described() -> None:
    """The message names twenty columns at most and how many there are beyond."""
    with pytest.raises(ColumnError) as caught:
        find_columns(table(*(f"c{number}" for number in range(25))))
    assert '"c19" and 5 more' in str(caught.value)
    assert '"c20"' not in str(caught.value)
    assert 'columns={"email"' in str(caught.value)
    with pytest.raises(ColumnError, match="The table has no columns"):
        find_columns(pl.Schema())


def test_overrides_win() -> None:
    """An override replaces what was found for its field, and takes its column away from the others."""
    schema = table("Email", "Backup", "Company", "Boss")
    found = find_columns(schema, {"email": ["Backup", "Email"], "full_name": "Company"})
    assert found == LeadColumns(email=("Backup", "Email"), full_name="Company")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"mail": "Email"}, r"no field 'mail': did you mean \"email\"\?"),
        ({"zzz": "Email"}, "The fields are email, linkedin_url"),
        ({"email": "E-mial"}, r'no column "E-mial" in the table: did you mean "Email"\?'),
        ({"email": "nothing like it"}, r'in the table\. It has "Email", "Company"'),
        ({"email": []}, "a list of at least one"),
        ({"email": 7}, "email takes a column name, a list"),
        ({"email": ["Email", 7]}, "email takes a column name, a list"),
        ({"company": ["Company"]}, "company takes a column name or None"),
        ({"email": "Company", "company": "Company"}, 'gives "Company" twice, for email and for company'),
        ({"email": ["Email", "Email"]}, 'gives "Email" twice'),
        ({"email": None}, "No column says who the leads are"),
        (["Email"], "columns takes a mapping"),
    ],
)
def test_wrong_overrides(overrides: dict[str, object], message: str) -> None:
    """Every wrong override is refused with what is wrong about it."""
    with pytest.raises(ColumnError, match=message):
        find_columns(table("Email", "Company"), overrides)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "dtype",
    [
        *(
            pl.String(),
            pl.Categorical(),
            pl.Enum(["a"]),
            pl.Int64(),
            pl.UInt8(),
            pl.Float32(),
            pl.Decimal(10, 2),
        ),
        *(pl.Boolean(), pl.Null(), pl.Date(), pl.Datetime("ms", "UTC"), pl.Time()),
    ],
)
def test_dtypes_that_can_be_text(dtype: pl.DataType) -> None:
    """Whatever a spreadsheet makes of a column of identifiers is accepted, and can indeed be cast to text."""
    assert find_columns(pl.Schema({"Email": dtype})).email == ("Email",)
    assert pl.Series([None], dtype=dtype).cast(pl.String).dtype == pl.String


@pytest.mark.parametrize(
    ("values", "cure"),
    [
        ([[1]], r'pl.col\("Email"\).list.join'),
        (pl.Series([["a"]], dtype=pl.Array(pl.String, 1)), "arr.join"),
        ([{"value": "a"}], "struct.field"),
        ([b"a"], "cast"),
        ([timedelta(1)], "cast"),
        (pl.Series([object()], dtype=pl.Object), "cast"),
    ],
)
def test_dtypes_that_cannot(values: list[object], cure: str) -> None:
    """Nested and binary columns are refused by name and dtype, with what to do about them."""
    schema = pl.DataFrame({"Email": values}).schema
    with pytest.raises(ColumnError, match=cure) as caught:
        find_columns(schema)
    assert f'Column "Email" is {schema["Email"]}' in str(caught.value)
    assert caught.value.columns == ("Email",)


@pytest.mark.parametrize("inner", [pl.String, pl.Categorical, pl.Null])
def test_a_list_of_addresses_is_several_of_them(inner: type[pl.DataType]) -> None:
    """Where no column has one text a row; such a column is better, whatever else looks like an address."""
    schema = pl.Schema({"mails": pl.List(inner), "Company": pl.String})
    assert find_columns(schema).email == ("mails",)
    more = pl.Schema(
        {**schema, "email": pl.String, "Email ": pl.String, "Email 2": pl.Struct({"v": pl.String})}
    )
    assert find_columns(more).email == ("email", "Email ")
    assert find_columns(more, {"email": ["mails", "email"]}).email == ("mails", "email")
    assert unread_columns(more, find_columns(more)) == {}
    with pytest.raises(ColumnError, match=r"list\.join"):
        find_columns(schema, {"email": None, "full_name": "mails", "company": "Company"})


def test_nested_columns_that_are_not_used_do_no_harm() -> None:
    """Only the columns in use have to be text."""
    assert find_columns(pl.Schema({"Email": pl.String(), "Tags": pl.List(pl.String())})).email == ("Email",)


def test_required_columns_must_exist() -> None:
    """A column that the table does not have is refused, with the names that look like it."""
    with pytest.raises(ColumnError, match='did you mean "Company"'):
        require_columns(table("Company", "Email"), LeadColumns(email=("Email",), company="Compny"))


@given(st.lists(st.text(max_size=20), unique=True, max_size=12))
def test_any_header_is_understood_or_refused_in_words(names: list[str]) -> None:
    """Whatever the headers are, there is a usable answer out of them or an error of ours."""
    try:
        found = find_columns(table(*names))
    except ColumnError:
        return
    assert found.can_identify
    assert set(found.names) <= set(names)
    assert len(set(found.names)) == len(found.names)


@given(st.lists(st.text(max_size=20), unique=True, max_size=12))
def test_what_was_overlooked_is_of_the_table(names: list[str]) -> None:
    """Whatever the headers are."""
    columns = LeadColumns(email=tuple(names[:1]), company=names[1] if len(names) > 1 else None)
    unread = unread_columns(table(*names), columns)
    assert set(unread) <= set(names)
    assert set(unread.values()) <= {
        "linkedin_url",
        "first_name",
        "last_name",
        "full_name",
        "company",
        "email",
    }


def test_a_header_moves_no_cursor() -> None:
    """What is said of columns stays on its line, whatever a spreadsheet has in them."""
    lines = describe_columns({"email": "E\nMail"}, {"Li\x1b[2J": "linkedin_url"}, invalid=1)
    assert lines == [
        ("read", "email = E Mail"),
        ("perhaps", 'columns={"linkedin_url": "Li [2J"}: it was not read so, and 1 row is invalid'),
    ]
    assert len(describe_columns({"email": "Mail"}, {"Li": "linkedin_url"}, invalid=0)) == 1
