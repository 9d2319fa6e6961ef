"""Code systems, their aliases, and what each code means for a message: data, line by line.

Sources: HL7 FHIR R4 4.0.1 (v3 ParticipationMode, ActReason, ActCode, Confidentiality), the HL7
terminology server for codes later than R4, NHS England's proxy and PDS specifications, UK Core.
"""

from __future__ import annotations

from fhirmsg.guidance.coding import normal_system
from fhirmsg.guidance.record import Basis
from fhirmsg.guidance.terms import Channel

# Everything of our own hangs on this base.
OWN = "https://fhirmsg.example/"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def own_extension(name: str) -> str:
    """Give the URL of one of our extensions."""
    return f"{OWN}StructureDefinition/{name}"


def own_system(name: str) -> str:
    """Give the URL of one of our code systems."""
    return f"{OWN}CodeSystem/{name}"


MESSAGE_ID = f"{OWN}Id/message"
REPLY = f"{OWN}Id/reply"
CHANNEL_SYSTEM = own_system("channel")
CATEGORY_SYSTEM = own_system("consent-category")
REASON_SYSTEM = own_system("objection-reason")
TASK_SYSTEM = own_system("task")
FINDING_SYSTEM = own_system("finding")
ACTIVITY_SYSTEM = own_system("activity")
LIFT_SYSTEM = own_system("lift")
# Why a message was sent, as far as everybody who reads the record may know it.
MESSAGE_REASON_SYSTEM = own_system("message-reason")
# Beside a service's own code, it says of a Consent's code that it is a service and no channel.
SERVICE_SYSTEM = own_system("service")
INDIVIDUAL_CHECK = f"{OWN}Id/individual-check"
PERSONA_TAG_SYSTEM = own_system("tag")

NHS_NUMBER = "https://fhir.nhs.uk/id/nhs-number"
ODS_CODE = "https://fhir.nhs.uk/id/ods-organization-code"
NHS_NUMBER_AS_WRITTEN = "https://fhir.nhs.uk/Id/nhs-number"
ODS_CODE_AS_WRITTEN = "https://fhir.nhs.uk/Id/ods-organization-code"

_TERMINOLOGY = "http://terminology.hl7.org/codesystem/"
CONSENT_SCOPE = f"{_TERMINOLOGY}consentscope"
ACT_CODE = f"{_TERMINOLOGY}v3-actcode"
ACT_REASON = f"{_TERMINOLOGY}v3-actreason"
PARTICIPATION_MODE = f"{_TERMINOLOGY}v3-participationmode"
CONFIDENTIALITY = f"{_TERMINOLOGY}v3-confidentiality"
NULL_FLAVOR = f"{_TERMINOLOGY}v3-nullflavor"
ROLE_CODE = f"{_TERMINOLOGY}v3-rolecode"
RESOURCE_TYPES = "http://hl7.org/fhir/resource-types"
SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
PROXY_BASIS = "http://fhir.nhs.uk/england/codesystem/england-nhsproxylegalbasis"
FLAG_PROXY_ROLE = "http://fhir.nhs.uk/england/codesystem/flagproxyrole"
PREFERRED_METHOD = "http://fhir.hl7.org.uk/codesystem/ukcore-preferredcontactmethod"
CONTACT_POINT_SYSTEM = "http://hl7.org/fhir/contact-point-system"

ACT_CODE_AS_WRITTEN = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
ACT_REASON_AS_WRITTEN = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
CONSENT_SCOPE_AS_WRITTEN = "http://terminology.hl7.org/CodeSystem/consentscope"
PARTICIPATION_TYPE_AS_WRITTEN = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
PROVENANCE_PARTICIPANT = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
CONFIDENTIALITY_AS_WRITTEN = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"

_NORMAL_NHS_NUMBER = normal_system(NHS_NUMBER)
_NORMAL_ODS = normal_system(ODS_CODE)


def is_nhs_number(system: object) -> bool:
    """Tell whether an identifier system is that of NHS numbers."""
    return normal_system(system) == _NORMAL_NHS_NUMBER


def is_ods(system: object) -> bool:
    """Tell whether an identifier system is that of ODS organisation codes."""
    return normal_system(system) == _NORMAL_ODS


_ALL_WRITTEN = frozenset({Channel.SMS, Channel.EMAIL, Channel.NHS_APP, Channel.LETTER, Channel.FAX})

# v3 ParticipationMode: the channels a deny with this code covers. The broader code covers the
# narrower channel; where it is not clear, the wider reading is the protective one.
PARTICIPATION_COVERS: dict[str, frozenset[Channel]] = {
    "SMSWRIT": frozenset({Channel.SMS}),
    "MSGWRIT": frozenset({Channel.SMS, Channel.NHS_APP}),
    "APPWRIT": frozenset({Channel.NHS_APP}),
    "MMSWRIT": frozenset(),
    "EMAILWRIT": frozenset({Channel.EMAIL}),
    "ONLINEWRIT": frozenset({Channel.EMAIL, Channel.NHS_APP}),
    "MAILWRIT": frozenset({Channel.LETTER}),
    "FAXWRIT": frozenset({Channel.FAX}),
    "HANDWRIT": frozenset(),
    "TYPEWRIT": frozenset({Channel.SMS, Channel.EMAIL}),
    "WRITTEN": _ALL_WRITTEN,
    "ELECTRONIC": frozenset({Channel.SMS, Channel.EMAIL, Channel.NHS_APP}),
    "PHYSICAL": frozenset({Channel.LETTER}),
    "REMOTE": frozenset(set(Channel) - {Channel.LETTER}),
    "VERBAL": frozenset({Channel.VOICE, Channel.VIDEO}),
    "PHONE": frozenset({Channel.VOICE}),
    "VIDEOCONF": frozenset({Channel.VIDEO}),
    "FACE": frozenset(),
    "DICTATE": frozenset(),
}

# The same codes, for channels they may mean without saying so.
PARTICIPATION_MAY_COVER: dict[str, frozenset[Channel]] = {
    "PHONE": frozenset({Channel.SMS}),
    "MMSWRIT": frozenset({Channel.SMS}),
    "HANDWRIT": frozenset({Channel.LETTER}),
}

# ContactPoint.system used as a channel code.
CONTACT_SYSTEM_COVERS: dict[str, frozenset[Channel]] = {
    "sms": frozenset({Channel.SMS}),
    "email": frozenset({Channel.EMAIL}),
    "phone": frozenset({Channel.VOICE}),
    "fax": frozenset({Channel.FAX}),
    "pager": frozenset(),
    "url": frozenset(),
    "other": frozenset(),
}
CONTACT_SYSTEM_MAY_COVER: dict[str, frozenset[Channel]] = {
    "phone": frozenset({Channel.SMS}),
    "url": frozenset({Channel.NHS_APP}),
    "other": frozenset({Channel.NHS_APP}),
}

# SNOMED CT (UK): a declined channel, and a channel consented to. The second in each pair of the
# "results" codes is narrower than the channel, so it only may cover it.
SNOMED_DECLINED: dict[str, Channel] = {
    "513631000000106": Channel.SMS,
    "911401000000108": Channel.SMS,
    "835231000000104": Channel.EMAIL,
}
SNOMED_CONSENTED: dict[str, Channel] = {
    "699237001": Channel.SMS,
    "911361000000104": Channel.SMS,
    "705025004": Channel.EMAIL,
}
# Declined for results only: a test-result message is covered, another one is not.
SNOMED_RESULTS_ONLY = frozenset({"911401000000108", "911361000000104"})
LOINC_TEXT_PERMISSION = "89057-4"

# UK Core preferred contact methods, met as codes on a Consent.
METHOD_COVERS: dict[str, frozenset[Channel]] = {
    "1": frozenset({Channel.LETTER}),
    "3": frozenset({Channel.VOICE}),
    "4": frozenset({Channel.EMAIL}),
    "9": frozenset({Channel.SMS}),
}
METHOD_MAY_COVER: dict[str, frozenset[Channel]] = {
    "3": frozenset({Channel.SMS}),
    "8": frozenset({Channel.VOICE, Channel.SMS}),
}

DISCLOSURE_CATEGORIES = frozenset({"IDSCL", "IRDSCL", "INFA", "INFAO"})
# Categories known to be about something else than messages, as (normal system, code).
OTHER_CATEGORIES = frozenset(
    {
        (ACT_CODE, "RESEARCH"),
        (ACT_CODE, "RSDID"),
        (ACT_CODE, "RSREID"),
        (ACT_CODE, "ICOL"),
        (LOINC, "64292-6"),
        (SNOMED, "887031000000108"),
        (SNOMED, "320011000000108"),
    }
)
FLAG_CATEGORY_MARK = "patientflagcategory"
OTHER_SCOPES = frozenset({"research", "treatment", "adr"})

# Purposes that a reasonable-adjustment record uses to say the opposite of an agreement.
REFUSAL_PURPOSES = frozenset({"RADISSENT", "RAREVOKED"})

PROXY_BASES: dict[str, Basis] = {
    "parental-responsibility": Basis.PARENTAL_RESPONSIBILITY,
    "best-interest": Basis.BEST_INTERESTS,
    "consent": Basis.EXPLICIT_CONSENT,
    "health-and-welfare-lasting-power-of-attorney": Basis.UNLISTED,
    "court-appointed-personal-welfare-deputy": Basis.UNLISTED,
}
FLAG_PROXY_ROLES = frozenset({"001", "002", "003", "004"})
DELEGATE_ROLES = frozenset({"GRANTEE", "DELEGATEE"})
# Roles that name a legal standing, which is not yet a decision to send messages to the person.
STANDING_ROLES = frozenset(
    {"POWATT", "HPOWATT", "DPOWATT", "SPOWATT", "GUARD", "GUADLTM", "RESPRSN", "EXCEST"}
)

# Relationships of v3 RoleCode: being related is never an authority.
RELATIONSHIP_ROLES = frozenset(
    {
        *("FAMMEMB", "CHILD", "CHLDADOPT", "DAUADOPT", "SONADOPT", "CHLDFOST", "DAUFOST"),
        *("SONFOST", "DAUC", "DAU", "STPDAU", "NCHILD", "SON", "SONC"),
        *("STPSON", "STPCHLD", "EXT", "AUNT", "MAUNT", "PAUNT", "COUSN"),
        *("MCOUSN", "PCOUSN", "GGRPRN", "GGRFTH", "GGRMTH", "GRNDCHILD", "GRNDDAU"),
        *("GRNDSON", "GRPRN", "GRFTH", "MGRFTH", "PGRFTH", "GRMTH", "MGRMTH"),
        *("PGRMTH", "MGRPRN", "PGRPRN", "INLAW", "CHLDINLAW", "DAUINLAW", "SONINLAW"),
        *("PRNINLAW", "FTHINLAW", "MTHINLAW", "SIBINLAW", "BROINLAW", "SISINLAW", "NIENEPH"),
        *("NEPHEW", "NIECE", "UNCLE", "MUNCLE", "PUNCLE", "PRN", "ADOPTP"),
        *("ADOPTF", "ADOPTM", "FTH", "FTHFOST", "NFTH", "NFTHF", "STPFTH"),
        *("MTH", "GESTM", "MTHFOST", "NMTH", "NMTHF", "STPMTH", "NPRN"),
        *("PRNFOST", "STPPRN", "SIB", "BRO", "HBRO", "NBRO", "TWINBRO"),
        *("STPBRO", "HSIB", "HSIS", "NSIB", "NSIS", "TWINSIS", "TWIN"),
        *("SIS", "STPSIS", "STPSIB", "SIGOTHR", "DOMPART", "FMRSPS", "SPS"),
        *("HUSB", "WIFE", "NBOR", "FRND", "ROOM", "ONESELF", "PERSONAL"),
    }
)

SAFETY_REASONS = frozenset({"abuse-risk", "serious-harm"})

RESTRICTED_LABELS = frozenset({"R", "V"})
# v3 ActCode sensitivity codes that make a service one the patient may feel sensitive about.
SENSITIVITY_LABELS = frozenset(
    {
        *("SEX", "STD", "HIV", "SDV", "VIO", "PSY", "PSYTHPN", "MH"),
        *("BH", "EMOTDIS", "DVD", "COGN", "SUD", "ETH", "ETHUD", "OPIOIDUD"),
        *("GDIS", "SCA", "SICKLE", "MST", "TBOO", "SPI", "DIA", "DRGIS"),
        *("ADOL", "CEL", "LOCIS", "SSP", "EMP", "PRS", "PHY", "PDS"),
    }
)

DEATH_STATUS_DIED = {"1": "informal death notification", "2": "formal death notification"}
EXIT_CODE_DIED = "DEA"

# Every type of resource in R4: a class that is none of them is not understood.
RESOURCES = _words(
    """
    Account ActivityDefinition AdverseEvent AllergyIntolerance Appointment AppointmentResponse
    AuditEvent Basic Binary BiologicallyDerivedProduct BodyStructure Bundle CapabilityStatement
    CarePlan CareTeam CatalogEntry ChargeItem ChargeItemDefinition Claim ClaimResponse
    ClinicalImpression CodeSystem Communication CommunicationRequest CompartmentDefinition
    Composition ConceptMap Condition Consent Contract Coverage CoverageEligibilityRequest
    CoverageEligibilityResponse DetectedIssue Device DeviceDefinition DeviceMetric DeviceRequest
    DeviceUseStatement DiagnosticReport DocumentManifest DocumentReference EffectEvidenceSynthesis
    Encounter Endpoint EnrollmentRequest EnrollmentResponse EpisodeOfCare EventDefinition Evidence
    EvidenceVariable ExampleScenario ExplanationOfBenefit FamilyMemberHistory Flag Goal
    GraphDefinition Group GuidanceResponse HealthcareService ImagingStudy Immunization
    ImmunizationEvaluation ImmunizationRecommendation ImplementationGuide InsurancePlan Invoice
    Library Linkage List Location Measure MeasureReport Media Medication MedicationAdministration
    MedicationDispense MedicationKnowledge MedicationRequest MedicationStatement MedicinalProduct
    MedicinalProductAuthorization MedicinalProductContraindication MedicinalProductIndication
    MedicinalProductIngredient MedicinalProductInteraction MedicinalProductManufactured
    MedicinalProductPackaged MedicinalProductPharmaceutical MedicinalProductUndesirableEffect
    MessageDefinition MessageHeader MolecularSequence NamingSystem NutritionOrder Observation
    ObservationDefinition OperationDefinition OperationOutcome Organization OrganizationAffiliation
    Parameters Patient PaymentNotice PaymentReconciliation Person PlanDefinition Practitioner
    PractitionerRole Procedure Provenance Questionnaire QuestionnaireResponse RelatedPerson
    RequestGroup ResearchDefinition ResearchElementDefinition ResearchStudy ResearchSubject
    RiskAssessment RiskEvidenceSynthesis Schedule SearchParameter ServiceRequest Slot Specimen
    SpecimenDefinition StructureDefinition StructureMap Subscription Substance SubstanceNucleicAcid
    SubstancePolymer SubstanceProtein SubstanceReferenceInformation SubstanceSourceMaterial
    SubstanceSpecification SupplyDelivery SupplyRequest Task TerminologyCapabilities TestReport
    TestScript ValueSet VerificationResult VisionPrescription
    """
)

# What `Communication.medium` says beside our own channel code: the R4 code it falls under.
MEDIUM: dict[Channel, tuple[str, str]] = {
    Channel.SMS: ("WRITTEN", "SMS text message"),
    Channel.EMAIL: ("EMAILWRIT", "Email"),
    Channel.NHS_APP: ("WRITTEN", "NHS App message"),
    Channel.LETTER: ("MAILWRIT", "Letter"),
    Channel.VOICE: ("PHONE", "Telephone call"),
    Channel.VIDEO: ("VIDEOCONF", "Video call"),
    Channel.FAX: ("FAXWRIT", "Fax"),
}
PARTICIPATION_MODE_AS_WRITTEN = "http://terminology.hl7.org/CodeSystem/v3-ParticipationMode"
COMMUNICATION_CATEGORY = "http://terminology.hl7.org/CodeSystem/communication-category"
NOT_DONE_REASON = "http://terminology.hl7.org/CodeSystem/communication-not-done-reason"

# What an AuditEvent is made of, after IHE BALP's "AuthZ-Consent" and DICOM's audit vocabulary.
DCM = "http://dicom.nema.org/resources/ontology/DCM"
AUDIT_SUBTYPE = "https://profiles.ihe.net/ITI/BALP/CodeSystem/AuthZsubType"
AUDIT_ENTITY_TYPE = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
AUDIT_BALP_ENTITY = "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType"
OBJECT_ROLE = "http://terminology.hl7.org/CodeSystem/object-role"
