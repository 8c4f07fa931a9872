"""For tests of adapters: a remote that misbehaves on demand, and the kit every adapter passes."""
