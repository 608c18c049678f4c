"""What made-up pictures of people consist of: faces, headsets, hands, hair, faults of cameras."""
