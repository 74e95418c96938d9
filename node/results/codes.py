"""The coded concepts that results of this node use, and its private coding scheme.

Checked against PS3.16 as shipped in pydicom's code dictionary; the context group of each is named
beside it.
"""

from __future__ import annotations

from node.results.primitives import Code
from node.results.uids import derive_uid

PRIVATE_SCHEME = "99CARDIONODE"
PRIVATE_SCHEME_UID = derive_uid("coding scheme", PRIVATE_SCHEME)
PRIVATE_SCHEME_NAME = "cardionode private codes"

# Ejection fraction: CID 12202; no method is claimed that the network does not use
LVEF = Code("18043-0", "LN", "Left Ventricular Ejection Fraction by US")
EJECTION_FRACTION = Code("70822001", "SCT", "Cardiac ejection fraction")
LEFT_VENTRICLE = Code("87878005", "SCT", "Left ventricle")
HEART = Code("80891009", "SCT", "Heart")

# Views: CID 12226
IMAGE_VIEW = Code("111031", "DCM", "Image View")
VIEW_PLAX = Code("399139001", "SCT", "Parasternal long axis")
VIEW_PSAX = Code("399306005", "SCT", "Parasternal short axis")
VIEW_PSAX_AV = Code("399239005", "SCT", "Parasternal short axis at the Aortic Valve level")
VIEW_PSAX_MV = Code("399036006", "SCT", "Parasternal short axis at the Mitral Valve level")
VIEW_PSAX_PM = Code("399271003", "SCT", "Parasternal short axis at the Papillary Muscle level")
VIEW_A4C = Code("399214001", "SCT", "Apical four chamber")
VIEW_A2C = Code("399232001", "SCT", "Apical two chamber")
VIEW_A3C = Code("399339008", "SCT", "Apical long axis")
VIEW_A4C_RIGHT_VENTRICLE = Code("130681", "DCM", "Apical four chamber RV Focused")
VIEW_SUBCOSTAL_LONG_AXIS = Code("399310008", "SCT", "Subcostal long axis")
VIEW_SUBCOSTAL_SHORT_AXIS = Code("399200001", "SCT", "Subcostal short axis")
# CID 12226 has no apical five chamber view and nothing for "none of these"
VIEW_A5C = Code("view-a5c", PRIVATE_SCHEME, "Apical five chamber")
VIEW_OTHER = Code("view-other", PRIVATE_SCHEME, "Other view")

PROBABILITY = Code("122157", "DCM", "Probability")

# Aortic stenosis: CID 12248, 240, 3716
AORTIC_STENOSIS = Code("60573004", "SCT", "Aortic stenosis")
PRESENT = Code("52101004", "SCT", "Present")
ABSENT = Code("272519000", "SCT", "Absent")
UNDETERMINED = Code("373068000", "SCT", "Undetermined")
SEVERITY = Code("246112005", "SCT", "Severity")
MILD_TO_MODERATE = Code("371923003", "SCT", "Mild to Moderate")
SEVERE = Code("24484000", "SCT", "Severe")
AORTIC_VALVE = Code("34202007", "SCT", "Aortic Valve")
# Valve calcification: CID 3711; the site says which valve
CALCIFIED_HEART_VALVE = Code("373136005", "SCT", "Calcified Heart Valve")

# Septal flash: the standard has no code for it; M mode: CID 12224
SEPTAL_FLASH = Code("septal-flash", PRIVATE_SCHEME, "Septal flash")
FLASH_ACTIVATION = Code(
    "flash-activation", PRIVATE_SCHEME, "Share of activation in early systolic septum"
)
INTERVENTRICULAR_SEPTUM = Code("589001", "SCT", "Interventricular septum")
IMAGE_MODE = Code("399264008", "SCT", "Image mode")
M_MODE = Code("399155008", "SCT", "M mode")

# Out of distribution: the standard has no concept for it
RELATIVE_TO_TRAINING = Code("input-training", PRIVATE_SCHEME, "Input relative to training data")
INSIDE_TRAINING = Code("inside-training", PRIVATE_SCHEME, "Inside the training distribution")
OUTSIDE_TRAINING = Code("outside-training", PRIVATE_SCHEME, "Outside the training distribution")

# Reports
COMMENT = Code("121106", "DCM", "Comment")
FINDING = Code("121071", "DCM", "Finding")
DIAGNOSTIC_IMAGING_REPORT = Code("18748-4", "LN", "Diagnostic Imaging Report")
IMAGING_MEASUREMENT_REPORT = Code("126000", "DCM", "Imaging Measurement Report")
IMAGING_PROCEDURE = Code("363679005", "SCT", "Imaging procedure")
QUALITATIVE_EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")

# Captures: CID 217, 7202, 7005
CLASS_ACTIVATION = Code("130402", "DCM", "Class activation")
GRADIENT_CLASS_ACTIVATION = Code("130403", "DCM", "Gradient-weighted class activation")
SALIENCY = Code("130404", "DCM", "Saliency")
SOURCE_IMAGE = Code("121322", "DCM", "Source image for image processing operation")
WAVEFORM = Code("260893003", "SCT", "Waveform")
SOURCE_OF_MEASUREMENT = Code("121112", "DCM", "Source of Measurement")
PROCESSING_EQUIPMENT = Code("109102", "DCM", "Processing Equipment")
