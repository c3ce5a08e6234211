/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-1 by OpenSSL's low-level functions: those of EVP begin the whole library
 * with its providers, which costs a process 2 MiB and some milliseconds. */
#define OPENSSL_API_COMPAT 0x10100000L /* since 3.0 they count as old */
#include "base/sha1.h"

#include <openssl/sha.h>
#include <stdio.h>

void
sha1_hex(struct slice bytes, char out[SHA1_HEX_LEN + 1])
{
    unsigned char sum[SHA_DIGEST_LENGTH];
    SHA_CTX ctx;

    SHA1_Init(&ctx);
    SHA1_Update(&ctx, bytes.ptr, bytes.len);
    SHA1_Final(sum, &ctx);
    for (size_t i = 0; i < sizeof sum; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", sum[i]);
}
