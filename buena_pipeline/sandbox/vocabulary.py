"""The words invented people are made of. Holds values, does nothing."""

from __future__ import annotations

from typing import Final

FREE_MAIL: Final = frozenset((
    "aol.com", "gmail.com", "googlemail.com", "gmx.de", "gmx.net", "hotmail.com", "icloud.com", "me.com",
    "outlook.com", "proton.me", "protonmail.com", "web.de", "yahoo.com",
))  # fmt: skip
"""Mail providers: an address there says nothing about the company."""

ROLE_MAILBOXES: Final = frozenset((
    "admin", "billing", "contact", "hello", "help", "hr", "info", "jobs", "mail", "marketing", "office",
    "sales", "service", "support", "team",
))  # fmt: skip
"""Local parts that many people read: such an address names a person only together with a name."""

FIRST_NAMES: Final = (
    "Ada", "Amara", "Ben", "Carla", "Chen", "David", "Elif", "Emma", "Farid", "Grace", "Hana", "Igor",
    "Jana", "Jonas", "Kofi", "Lena", "Liam", "Lucía", "Maria", "Mateo", "Mei", "Nadia", "Noah", "Olga",
    "Omar", "Paula", "Priya", "Quentin", "Rosa", "Samuel", "Sofia", "Tariq", "Uma", "Viktor", "Wanda",
    "Xavier", "Yuki", "Zoë",
)  # fmt: skip
LAST_NAMES: Final = (
    "Abbott", "Almeida", "Bauer", "Becker", "Castro", "Chen", "Diallo", "Evans", "Fischer", "Garcia",
    "Haddad", "Ivanova", "Jensen", "Kaur", "Kim", "Kowalski", "Lindqvist", "López", "Martin", "Moreau",
    "Müller", "Nakamura", "Novak", "Okafor", "Owens", "Patel", "Quinn", "Rossi", "Schmidt", "Silva",
    "Tanaka", "Underwood", "Vargas", "Weber", "Xu", "Yilmaz", "Zhang",
)  # fmt: skip
COMPANIES: Final = (
    "Alder Analytics", "Birch & Vale", "Cobalt Foundry", "Delta Harbor", "Ember Logistics", "Fjord Health",
    "Granite Works", "Helio Energy", "Indigo Retail", "Juniper Labs", "Kestrel Aviation", "Lumen Optics",
    "Meridian Bank", "Northwind Foods", "Opal Software", "Pioneer Steel",
)  # fmt: skip
TITLES: Final = (
    "CEO", "CTO", "VP of Sales", "VP Engineering", "Director of Marketing", "Head of Data",
    "Head of Operations", "Senior Software Engineer", "Senior Account Executive", "Lead Designer",
    "Software Engineer", "Data Analyst", "Product Manager", "Account Manager", "Marketing Specialist",
    "Recruiter", "Consultant", "Office Manager",
)  # fmt: skip
LOCATIONS: Final = (
    "San Francisco, CA", "New York, NY", "Austin, TX", "London, United Kingdom", "Berlin, Germany",
    "Paris, France", "Zürich, Switzerland", "São Paulo, Brazil", "Bengaluru, India", "Singapore",
    "Toronto, Canada", "Remote",
)  # fmt: skip
EXPERIENCES: Final = (
    "1 year", "2 years", "3", "4 years", "5 years", "6+ years", "8 years", "10+ years", "12 years",
    "15+ years", "over 20 years",
)  # fmt: skip
SKILLS: Final = (
    "Python", "JavaScript", "TypeScript", "React", "Node.js", "AWS", "Kubernetes", "SQL", "Machine Learning",
    "REST APIs", "Data Modeling", "Sales Strategy", "Negotiation", "CRM", "SEO", "Copywriting", "Recruiting",
    "Project Management", "Public Speaking", "Excel",
)  # fmt: skip
INDUSTRIES: Final = (
    "Technology", "Financial Services", "Healthcare", "Logistics", "Retail", "Manufacturing", "Energy",
    "Education",
)  # fmt: skip
SOURCES: Final = (
    "apollo", "clearbit", "hunter", "zoominfo", "linkedin", "twitter", "github", "facebook", "crunchbase",
)  # fmt: skip

SIZES: Final = ("10-50", "50-100", "100-500", "500-1000", "1000+")
"""The forms of a company size that the vendor documents."""

ODD_SIZES: Final = ("1-10", "5,001-10,000", "11 to 50", "10k+", "250")
"""Forms that other data providers use and that turn up among the documented ones."""
