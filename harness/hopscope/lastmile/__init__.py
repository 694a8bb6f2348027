"""Why a tunnel that is up carries nothing: probes, evidence, causes (one file each), repairs, proof."""
