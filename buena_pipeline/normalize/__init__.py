"""How one column says who a lead is: the building blocks of identity, as expressions over whole columns.

Text enters, a normalised value or null leaves. Nothing here knows of tables, rows or people, and nothing
costly is done for rows that do not need it: most addresses are plain, most names are ASCII.
"""

from __future__ import annotations

from buena_pipeline.normalize.email import email_address, email_addresses, email_key, is_role_mailbox
from buena_pipeline.normalize.linkedin import is_member_id, linkedin_slug, linkedin_url
from buena_pipeline.normalize.names import company_key, person_name_key, split_full_name
from buena_pipeline.normalize.text import clean_text

__all__ = [
    "clean_text",
    "company_key",
    "email_address",
    "email_addresses",
    "email_key",
    "is_member_id",
    "is_role_mailbox",
    "linkedin_slug",
    "linkedin_url",
    "person_name_key",
    "split_full_name",
]
