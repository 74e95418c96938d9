"""What each standard view shows of a patient, frame by frame, in cm."""
