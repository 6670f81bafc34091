"""De-identification of ultrasound clips: PS3.15 annex E, headers and pixels."""
