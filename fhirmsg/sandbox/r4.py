"""What FHIR R4 (4.0.1) fixes by name: resource types, and the status codes the store refuses.

Source: https://hl7.org/fhir/R4/valueset-resource-types.html and the `status` binding of each
resource page named below.
"""

from __future__ import annotations

import re
from typing import Any, TypeAlias

Resource: TypeAlias = dict[str, Any]
"""One FHIR resource as parsed JSON; it always has a `resourceType`."""

FHIR_VERSION = "4.0.1"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


RESOURCE_TYPES = _words(
    """
    Account ActivityDefinition AdverseEvent AllergyIntolerance Appointment AppointmentResponse
    AuditEvent Basic Binary BiologicallyDerivedProduct BodyStructure Bundle CapabilityStatement
    CarePlan CareTeam CatalogEntry ChargeItem ChargeItemDefinition Claim ClaimResponse
    ClinicalImpression CodeSystem Communication CommunicationRequest CompartmentDefinition
    Composition ConceptMap Condition Consent Contract Coverage CoverageEligibilityRequest
    CoverageEligibilityResponse DetectedIssue Device DeviceDefinition DeviceMetric DeviceRequest
    DeviceUseStatement DiagnosticReport DocumentManifest DocumentReference
    EffectEvidenceSynthesis Encounter Endpoint EnrollmentRequest EnrollmentResponse EpisodeOfCare
    EventDefinition Evidence EvidenceVariable ExampleScenario ExplanationOfBenefit
    FamilyMemberHistory Flag Goal GraphDefinition Group GuidanceResponse HealthcareService
    ImagingStudy Immunization ImmunizationEvaluation ImmunizationRecommendation
    ImplementationGuide InsurancePlan Invoice Library Linkage List Location Measure MeasureReport
    Media Medication MedicationAdministration MedicationDispense MedicationKnowledge
    MedicationRequest MedicationStatement MedicinalProduct MedicinalProductAuthorization
    MedicinalProductContraindication MedicinalProductIndication MedicinalProductIngredient
    MedicinalProductInteraction MedicinalProductManufactured MedicinalProductPackaged
    MedicinalProductPharmaceutical MedicinalProductUndesirableEffect MessageDefinition
    MessageHeader MolecularSequence NamingSystem NutritionOrder Observation ObservationDefinition
    OperationDefinition OperationOutcome Organization OrganizationAffiliation Parameters Patient
    PaymentNotice PaymentReconciliation Person PlanDefinition Practitioner PractitionerRole
    Procedure Provenance Questionnaire QuestionnaireResponse RelatedPerson RequestGroup
    ResearchDefinition ResearchElementDefinition ResearchStudy ResearchSubject RiskAssessment
    RiskEvidenceSynthesis Schedule SearchParameter ServiceRequest Slot Specimen
    SpecimenDefinition StructureDefinition StructureMap Subscription Substance
    SubstanceNucleicAcid SubstancePolymer SubstanceProtein SubstanceReferenceInformation
    SubstanceSourceMaterial SubstanceSpecification SupplyDelivery SupplyRequest Task
    TerminologyCapabilities TestReport TestScript ValueSet VerificationResult VisionPrescription
    """
)

STATUS_CODES = {
    "Communication": _words(
        "preparation in-progress not-done on-hold stopped completed entered-in-error unknown"
    ),
    "Consent": _words("draft proposed active rejected inactive entered-in-error"),
    "Task": _words(
        "draft requested received accepted rejected ready cancelled in-progress on-hold failed"
        " completed entered-in-error"
    ),
}
"""The codes of the required binding of `status`, where the store checks it."""

ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
RELATIVE_REFERENCE = re.compile(
    r"(?P<type>[A-Za-z]+)/(?P<id>[A-Za-z0-9\-.]{1,64})(?:/_history/[A-Za-z0-9\-.]{1,64})?"
)


def natural(text: str) -> int | None:
    """The whole number that a text writes in at most nine digits, or None."""
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else None
