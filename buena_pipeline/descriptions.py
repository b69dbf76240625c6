"""What each column that the library adds means, in one sentence: for catalogues and documentation."""

from __future__ import annotations

from typing import Final

DESCRIPTIONS: Final[dict[str, str]] = {
    "status": "What happened to the row: enriched, cached, failed, invalid, deferred or suppressed.",
    "error": "Why the row has no data, in words; null where it has.",
    "person_id": "Who the row is in the store: the same for all rows of one person.",
    "enriched_at": "When the newest answer about the person came, in UTC.",
    "confidence": "How sure the vendor is of the match, from 0 to 1.",
    "sources": "Where the vendor has it from.",
    "first_name": "First name, as the vendor has it.",
    "last_name": "Last name, as the vendor has it.",
    "email": "E-mail address that the vendor gives.",
    "alternative_emails": "Further e-mail addresses.",
    "phone": "Phone number.",
    "linkedin_url": "URL of the LinkedIn profile.",
    "company": "Company the person works for.",
    "title": "Job title.",
    "location": "Where the person lives or works.",
    "experience": "Working experience, as the vendor words it.",
    "experience_years": "Years of working experience, read from the text.",
    "skills": "Skills.",
    "bio": "A short text about the person.",
    "company_name": "Name of the company, from the company block.",
    "company_website": "Website of the company.",
    "company_domain": "Domain of that website, lower case, without www.",
    "company_industry": "Industry of the company.",
    "company_size": "Number of employees, as the vendor words it.",
    "company_size_min": "The lower end of that range.",
    "company_size_max": "The upper end of that range; null where it is open.",
    "company_description": "A short text about the company.",
    "company_founded": "Year in which the company was founded.",
    "company_headquarters": "Where the company has its headquarters.",
    "social_twitter": "Twitter profile.",
    "social_github": "GitHub profile.",
    "social_facebook": "Facebook profile.",
    "social_profiles": "All social profiles, by network, those with a column of their own included.",
    "score": "How good the lead is: the sum of the parts, as the scoring model weighs them.",
    "score_company_size": "Points for the size of the company.",
    "score_title": "Points for the job title.",
    "score_skills": "Points for the skills.",
    "score_phone": "Points for having a phone number.",
    "score_linkedin": "Points for having a LinkedIn profile.",
}
"""By the column's name without its prefix, in the order of ``schema.ENRICHED`` and ``schema.SCORED``."""
