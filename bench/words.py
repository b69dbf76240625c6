"""The words that invented leads and answers are made of. Holds values, does nothing."""

from __future__ import annotations

from typing import Final

FIRST_NAMES: Final = (
    "Ada", "Adrian", "Agnes", "Aisha", "Alejandro", "Alma", "Amir", "Ana", "André", "Anika", "Arjun",
    "Astrid", "Aurélie", "Beatriz", "Benedikt", "Björn", "Bram", "Camille", "Carlos", "Catalina", "Chiara",
    "Chloé", "Clara", "Daan", "Dalia", "Darius", "Deniz", "Diego", "Dominik", "Edith", "Eirik", "Elena",
    "Elias", "Emre", "Esther", "Fatima", "Felix", "Fiona", "Florian", "Gabriel", "Greta", "Hamid", "Hanna",
    "Héctor", "Hugo", "Ines", "Irina", "Isabel", "Jakob", "Jamila", "Joanna", "Julián", "Kai", "Karim",
    "Katrin", "Klara", "Lars", "Leïla", "Linnea", "Lorenzo", "Luca", "Magnus", "Malik", "Marta", "Mikael",
    "Mina", "Nikhil", "Nora", "Oscar", "Petra", "Rafael", "Rania", "Roman", "Ruth", "Salma", "Selim",
    "Simone", "Tamara", "Thomas", "Zoë",
)  # fmt: skip
LAST_NAMES: Final = (
    "Aalto", "Abadi", "Adler", "Aguilar", "Almqvist", "Amari", "Andersen", "Arslan", "Baptiste", "Barros",
    "Beaumont", "Bellini", "Benedek", "Berger", "Bianchi", "Björk", "Blom", "Bosch", "Brandt", "Brennan",
    "Cabrera", "Calloway", "Cardoso", "Chaudhry", "Cohen", "Costa", "Dahl", "Delacroix", "Demir",
    "Deschamps", "Dimitrov", "Dorsey", "Duarte", "Eklund", "Engel", "Espinosa", "Fabre", "Farrell",
    "Feldman", "Fontaine", "Forsberg", "Fuentes", "Gallagher", "García", "Gill", "Greco", "Grünwald",
    "Gupta", "Haas", "Hagen", "Halvorsen", "Hansson", "Hashimoto", "Herrera", "Hofmann", "Horvat",
    "Hussain", "Ibarra", "Iqbal", "Jansen", "Jovanović", "Kaplan", "Karlsen", "Keller", "Kovač", "Krüger",
    "Lambert", "Larsen", "Laurent", "Lehmann", "Leroy", "Lindgren", "Lombardi", "Lund", "Maalouf",
    "Mancini", "Marchetti", "Medina", "Meier", "Mendoza", "Mertens", "Mishra", "Moretti", "Nagy", "Navarro",
    "Nguyen", "Nielsen", "Novotný", "Olsen", "Ortega", "Osman", "Pavlov", "Pereira", "Petrov", "Popescu",
    "Quintana", "Ramos", "Rasmussen", "Reyes", "Richter", "Rinaldi", "Romano", "Ruiz", "Salazar", "Santoro",
    "Schäfer", "Seidel", "Serrano", "Shah", "Sokolov", "Sørensen", "Steiner", "Szabó", "Takeda", "Torres",
    "Vance", "Vasquez", "Vogel", "Wagner", "Walsh", "Weiss", "Winkler", "Yamada", "Zeller", "Zimmer",
)  # fmt: skip

COMPANY_FIRST: Final = (
    "Alder", "Amber", "Apex", "Arbor", "Atlas", "Aurora", "Basalt", "Beacon", "Birch", "Bright", "Canyon",
    "Cedar", "Cirrus", "Clear", "Cobalt", "Copper", "Coral", "Crest", "Delta", "Ember", "Falcon", "Fern",
    "Flint", "Fjord", "Garnet", "Glacier", "Granite", "Harbor", "Hazel", "Helio", "Indigo", "Iron", "Ivory",
    "Juniper", "Kestrel", "Lark", "Linden", "Lumen", "Maple", "Meridian", "North", "Oak", "Onyx", "Opal",
    "Pine", "Quartz", "Raven", "River", "Sable", "Slate",
)  # fmt: skip
COMPANY_SECOND: Final = (
    "Anchor", "Arc", "Bay", "Bell", "Bridge", "Brook", "Canopy", "Cliff", "Compass", "Cove", "Dale", "Dune",
    "Field", "Forge", "Gate", "Glen", "Grove", "Haven", "Heath", "Hill", "Horizon", "Isle", "Key", "Lake",
    "Lantern", "Leaf", "Light", "Line", "Loom", "Mark", "Meadow", "Mill", "Moor", "Path", "Peak", "Point",
    "Port", "Reef", "Ridge", "Rock", "Sail", "Shore", "Spark", "Spring", "Stone", "Tide", "Trail", "Vale",
    "Wave", "Wood",
)  # fmt: skip
COMPANY_TRADE: Final = (
    "Analytics", "Biotech", "Capital", "Consulting", "Dynamics", "Energy", "Foods", "Health", "Instruments",
    "Interactive", "Labs", "Logistics", "Materials", "Media", "Mobility", "Networks", "Robotics",
    "Software", "Systems", "Textiles",
)  # fmt: skip
COMPANIES: Final = 49_999
"""How many companies there are: almost all combinations, and no multiple of the other numbers here."""

LEGAL_FORMS: Final = (" Inc.", " GmbH", ", LLC", " Ltd", " S.A.", " AG", " B.V.", " SE")
TOP_DOMAINS: Final = ("com", "io", "de", "co.uk", "fr", "eu", "net", "example")

TITLES: Final = (
    "CEO", "CTO", "CFO", "VP of Sales", "VP Engineering", "Director of Marketing", "Director of Operations",
    "Head of Data", "Head of Procurement", "Senior Software Engineer", "Senior Account Executive",
    "Lead Designer", "Software Engineer", "Data Analyst", "Product Manager", "Account Manager",
    "Marketing Specialist", "Recruiter", "Consultant", "Office Manager",
)  # fmt: skip
LOCATIONS: Final = (
    "San Francisco, CA", "New York, NY", "Austin, TX", "London, United Kingdom", "Berlin, Germany",
    "Paris, France", "Zürich, Switzerland", "São Paulo, Brazil", "Bengaluru, India", "Singapore",
    "Toronto, Canada", "Oslo, Norway",
)  # fmt: skip
SKILLS: Final = (
    "Python", "JavaScript", "TypeScript", "React", "Node.js", "AWS", "Kubernetes", "SQL",
    "Machine Learning", "REST APIs", "Data Modeling", "Sales Strategy", "Negotiation", "CRM", "SEO",
    "Copywriting", "Recruiting", "Project Management", "Public Speaking", "Excel",
)  # fmt: skip
INDUSTRIES: Final = (
    "Technology", "Financial Services", "Healthcare", "Logistics", "Retail", "Manufacturing", "Energy",
    "Education",
)  # fmt: skip
SIZES: Final = ("10-50", "50-100", "100-500", "500-1000", "1000+")
SOURCES: Final = ("apollo", "clearbit", "hunter", "zoominfo", "linkedin", "crunchbase")
BIO: Final = (
    "Spent the last years building teams that ship on time and talk to each other.",
    "Believes that a good process is one that nobody notices until it is gone.",
    "Started out in support, and still reads every ticket that mentions the billing page.",
    "Moves between strategy and spreadsheets, with a weakness for well-kept dashboards.",
    "Has opened three offices, closed one, and learned more from the latter.",
    "Writes a monthly letter about pricing, procurement and the people in between.",
    "Speaks at meet-ups about migrations that went well, and at length about those that did not.",
    "Interested in whatever makes the second year of a product better than the first.",
)  # fmt: skip
ABOUT: Final = (
    "Serves customers in more than twenty countries and is known for long contracts and short answers.",
    "Grew out of a university project and now supplies half of the companies in its field.",
    "Family-owned in the third generation, with plants on two continents and a lab on a third.",
    "Builds the quiet parts of other people's products, from the first prototype to the last spare part.",
)  # fmt: skip

STAGES: Final = ("new", "contacted", "qualified", "proposal", "won", "lost")
ORIGINS: Final = ("trade fair", "webinar", "website", "referral", "import", "cold list")
COUNTRIES: Final = (
    "Germany", "France", "United Kingdom", "United States", "Brazil", "India", "Norway", "Canada",
)  # fmt: skip
OWNERS: Final = (
    "Ana Pavlov", "Ben Osman", "Carla Weiss", "David Lund", "Emma Szabó", "Farid Haas", "Grace Vogel",
)  # fmt: skip
NOTES: Final = (
    "Met at the booth, wants a call next quarter.", "Asked for a price list in March.",
    "Budget approved, no date yet.", "Forwarded to procurement.", "Downloaded the white paper twice.",
    "Prefers to be written to, not called.",
)  # fmt: skip
