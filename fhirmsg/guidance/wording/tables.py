"""Plain lists in which the checks look things up."""

from __future__ import annotations


def _listed(words: str) -> frozenset[str]:
    return frozenset(words.split())


SHORTENERS = _listed(
    """
    adf.ly amzn.to bit.do bit.ly bitly.com bl.ink buff.ly cutt.ly dlvr.it fb.me g.co geni.us
    goo.gl gg.gg git.io i.mp is.gd j.mp linktr.ee lnkd.in lnk.to mcaf.ee ow.ly po.st ppt.cc
    qr.ae qrco.de rb.gy rebrand.ly s.id short.gy short.io shorturl.at smarturl.it snip.ly
    soo.gd surl.li t.co t.ly t.me tiny.cc tiny.one tinyurl.com tr.im trib.al tny.im u.to v.gd
    wa.me wp.me x.co youtu.be zpr.io
    """
)

# Ordinary in a message from the NHS, and not shouted when written in capitals.
ABBREVIATIONS = _listed(
    """
    ADHD BMI CAMHS COPD COVID DEXA DVLA ECG ECHO EEG HRT IAPT MMR MRSA NHS PALS PCR PHQ SMS
    UKHSA IMPORTANT REMINDER CANCEL STOP HELP REPLY TEXT START
    """
)

# Names of parameters of a link whose values say who the reader is, or what ails them.
TELLTALE = _listed(
    """
    address addressline addressline1 age birthdate birthday condition dateofbirth diagnosis dob
    email emailaddress ethnicity familyname firstname fname forename forenames fullname gender
    givenname hospitalno hospitalnumber lastname lname medication mobile mobilenumber mrn name nhs
    nhsid nhsno nhsnum nhsnumber nino patient patientid patientname phone phonenumber postcode
    sex surname tel telephone
    """
)

# Last labels that make a name without a scheme a link.
ENDINGS = _listed(
    """
    app biz ca cat cc cn co com cymru de edu eu example fr gl gov ie info int io jp link ly mobi
    net nhs nl org pl pw ru scot tv uk wales xyz
    """
)

# These are words too, and any word may follow a full stop after a missing space, so that they
# make a link only when a path follows.
ENDINGS_THAT_ARE_WORDS = _listed(
    """
    at be care click club digital direct email gd gg health hospital is it london me mp my news no
    online page ph save shop site so support team the to today top us vip website work world zip
    """
)

# In links words are run together: what may follow a term there, or stand before it.
GLUED_TO = _listed(
    """
    advice appointment appointments care centre check checks clinic clinics help hospital hub
    info information letter letters matters my nhs online positive result results screening
    service services support team test testing tests the treatment unit your
    """
)

# What may stand between the name of a measurement and its number.
TOWARDS_A_NUMBER = _listed(
    """
    is was were of level levels result results reading score count value now came back as your
    only still about around above below over under blood test yn oedd yw lefel
    """
)

# A clause ends before these, though no mark says so.
NEW_CLAUSE = _listed("and but so please because ond felly")

IN_DATES = _listed("st nd rd th t of the o eg ain af il ydd fed ed")
BEFORE_A_DATE = _listed("is was on yw oedd")

MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "january jan ionawr",
            "february feb chwefror gwefror",
            "march mar mawrth fawrth",
            "april apr ebrill",
            "may mai fai",
            "june jun mehefin fehefin",
            "july jul gorffennaf orffennaf",
            "august aug awst",
            "september sep sept medi fedi",
            "october oct hydref",
            "november nov tachwedd dachwedd",
            "december dec rhagfyr",
        ),
        1,
    )
    for name in names.split()
}

# Both sides of a comparison are brought to the long form, so that a doctor may become a drive.
STREETS = {
    "apt": "apartment",
    "av": "avenue",
    "ave": "avenue",
    "bldg": "building",
    "cl": "close",
    "cres": "crescent",
    "ct": "court",
    "dr": "drive",
    "gdn": "garden",
    "gdns": "gardens",
    "hse": "house",
    "ln": "lane",
    "pk": "park",
    "pl": "place",
    "rd": "road",
    "sq": "square",
    "st": "street",
    "tce": "terrace",
    "terr": "terrace",
}
HOUSE_PARTS = _listed("flat unit apartment room floor block ward suite house no number plot level")
