/* SPDX-License-Identifier: Apache-2.0 */
/* Hugging Face's router: OpenAI's format, with models named "org/name". */
#include "protocol/llm_codec.h"

const struct llm_provider llm_huggingface = {.name = "huggingface",
                                             .build = llm_openai_build,
                                             .parse = llm_openai_parse};
