"""Named patterns in linear time: the shared ground of the checks that recognise what somebody means."""
