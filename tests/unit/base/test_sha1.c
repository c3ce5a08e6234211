/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sha1.h"

#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <stdio.h>

Test(sha1, gives_what_the_standard_says)
{
    char hex[SHA1_HEX_LEN + 1];

    sha1_hex(slice_of("abc"), hex);
    cr_assert_str_eq(hex, "a9993e364706816aba3e25717850c26c9cd0d89d");
    sha1_hex((struct slice){NULL, 0}, hex);
    cr_assert_str_eq(hex, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
}

/* Around the borders of blocks, where the padding changes. */
Test(sha1, agrees_with_openssl_at_every_length)
{
    char bytes[300], hex[SHA1_HEX_LEN + 1], want[SHA1_HEX_LEN + 1];
    unsigned char sum[EVP_MAX_MD_SIZE];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(i * 7 + 1);
    for (size_t n = 0; n <= sizeof(bytes); n++) {
        cr_assert(EVP_Digest(bytes, n, sum, NULL, EVP_sha1(), NULL));
        for (int i = 0; i < 20; i++)
            snprintf(want + 2 * i, 3, "%02x", sum[i]);
        sha1_hex((struct slice){bytes, n}, hex);
        cr_assert_str_eq(hex, want, "of %zu bytes", n);
    }
}
