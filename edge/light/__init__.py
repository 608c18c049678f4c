"""The light on the wearer's skin: measured, kept in the profile, compared with the session's."""
