"""What tests share: cached packages and bundles, doubles, clients of the bridge, sanitized builds."""
