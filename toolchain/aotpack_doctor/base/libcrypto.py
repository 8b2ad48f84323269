"""Signatures by elliptic curves, checked by OpenSSL's libcrypto. Nothing of cryptography is ours."""

from __future__ import annotations

import ctypes
from ctypes import c_char_p, c_int, c_size_t, c_void_p
from typing import Any, Mapping

#: Bits of a key -> the digest that is signed, by its name in libcrypto.
_DIGESTS: Mapping[int, str] = {256: "EVP_sha256", 384: "EVP_sha384", 521: "EVP_sha512"}
_FUNCTIONS = {
    "BIO_new_mem_buf": (c_void_p, c_char_p, c_int),
    "BIO_free": (c_int, c_void_p),
    "PEM_read_bio_PUBKEY": (c_void_p, c_void_p, c_void_p, c_void_p, c_void_p),
    "EVP_PKEY_free": (None, c_void_p),
    "EVP_MD_CTX_new": (c_void_p,),
    "EVP_MD_CTX_free": (None, c_void_p),
    "EVP_DigestVerifyInit": (c_int, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p),
    "EVP_DigestVerify": (c_int, c_void_p, c_char_p, c_size_t, c_char_p, c_size_t),
    **dict.fromkeys(_DIGESTS.values(), (c_void_p,)),
}
#: What OpenSSL 3 calls it, and what 1.1 did.
_BITS = ("EVP_PKEY_get_bits", "EVP_PKEY_bits")


def verifies(library: str, key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether an ECDSA signature of a message was made with the private half of a key.

    Args:
        library: libcrypto's path; OpenSSL 1.1.1 or newer.
        key: public, in PEM; on P-256, P-384 or P-521.
        signature: in DER.
        message: what was signed.

    Raises:
        OSError: the library cannot be loaded, or is another one.
        ValueError: the key cannot be used.
    """
    crypto = _loaded(library)
    source = crypto.BIO_new_mem_buf(key, len(key))
    public = crypto.PEM_read_bio_PUBKEY(source, None, None, None)
    crypto.BIO_free(source)
    if not public:
        raise ValueError("holds no public key in PEM")
    context = crypto.EVP_MD_CTX_new()
    try:
        digest = _DIGESTS.get(crypto.bits(public))
        if digest is None or not crypto.EVP_DigestVerifyInit(context, None, getattr(crypto, digest)(), None, public):
            raise ValueError("holds a key that is on none of the curves P-256, P-384 and P-521")
        return bool(crypto.EVP_DigestVerify(context, signature, len(signature), message, len(message)) == 1)
    finally:
        crypto.EVP_MD_CTX_free(context)
        crypto.EVP_PKEY_free(public)


def _loaded(path: str) -> Any:
    library: Any = ctypes.CDLL(path)
    try:
        for name, (result, *arguments) in _FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
        bits = getattr(library, next((name for name in _BITS if hasattr(library, name)), _BITS[0]))
    except AttributeError as error:
        raise OSError(f"{path}: {error}") from None
    bits.restype, bits.argtypes = c_int, (c_void_p,)
    library.bits = bits
    return library
