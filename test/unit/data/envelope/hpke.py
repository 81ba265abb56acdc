# SPDX-License-Identifier: LGPL-2.1-or-later
"""HPKE (RFC 9180) for DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305 with a given ephemeral key, to
have something to check src/shared/hpke.c and src/broker/envelope.c against. HKDF is written out; X25519 and the
AEAD are python3-cryptography's.
"""

import hashlib
import hmac

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

KEM = b"KEM" + (0x20).to_bytes(2, "big")
HPKE = b"HPKE" + b"".join(n.to_bytes(2, "big") for n in (0x20, 1, 3))
MODE_BASE, MODE_PSK, MODE_AUTH, MODE_AUTH_PSK = range(4)


def extract(salt, key):
    return hmac.digest(salt or bytes(32), key, "sha256")


def expand(secret, info, size):
    result, block = b"", b""
    for i in range(1, -(-size // 32) + 1):
        block = hmac.digest(secret, block + info + bytes([i]), "sha256")
        result += block
    return result[:size]


def labeled_extract(suite, salt, label, key):
    return extract(salt, b"HPKE-v1" + suite + label + key)


def labeled_expand(suite, secret, label, info, size):
    return expand(secret, size.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info, size)


def public_key(private):
    key = X25519PrivateKey.from_private_bytes(private).public_key()
    return key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def dh(private, public):
    return X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))


def encapsulate(ephemeral, sender, recipient):
    """4.1, Encap and AuthEncap: the shared secret and enc."""
    enc = public_key(ephemeral)
    secret, context = dh(ephemeral, recipient), enc + recipient
    if sender:
        secret += dh(sender, recipient)
        context += public_key(sender)
    prk = labeled_extract(KEM, b"", b"eae_prk", secret)
    return labeled_expand(KEM, prk, b"shared_secret", context, 32), enc


def key_schedule(mode, shared, info, psk, psk_id):
    """5.1: the key and the first nonce."""
    context = (bytes([mode]) + labeled_extract(HPKE, b"", b"psk_id_hash", psk_id) +
               labeled_extract(HPKE, b"", b"info_hash", info))
    secret = labeled_extract(HPKE, shared, b"secret", psk)
    return (labeled_expand(HPKE, secret, b"key", context, 32),
            labeled_expand(HPKE, secret, b"base_nonce", context, 12))


def seal(ephemeral, sender, recipient, info, aad, plaintext, psk=b"", psk_id=b""):
    """enc || ciphertext || tag. Without a sender it is not authenticated: mode base or psk."""
    mode = (MODE_AUTH if sender else MODE_BASE) + (MODE_PSK if psk else MODE_BASE)
    shared, enc = encapsulate(ephemeral, sender, recipient)
    key, nonce = key_schedule(mode, shared, info, psk, psk_id)
    return enc + ChaCha20Poly1305(key).encrypt(nonce, plaintext, aad)


def hkdf(key, info, size):
    return expand(extract(b"", key), info, size)


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()
