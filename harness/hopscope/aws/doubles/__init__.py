"""Stand-ins for AWS on this machine, switched on by ``--lab-aws-doubles`` alone."""
