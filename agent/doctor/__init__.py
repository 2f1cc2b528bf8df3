# SPDX-License-Identifier: Apache-2.0
"""`oubli doctor`: what on this gateway makes records wrong, late or unlawful, and how to set it right.

It is run by hand as root; it isn't part of the recorder, and may open the TCP connection that the recorder must not. A
check is a function from a `Gateway` to findings; what a finding means stands in `catalogue`. Nothing it says names a
terminal, an address or a host (L34-II-5).
"""
