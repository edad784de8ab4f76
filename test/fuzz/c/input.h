/* What a fuzzer gives, taken from its front piece by piece; 0 and nothing when it is used up. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static const uint8_t *input;
static size_t left;

static uint8_t take_byte(void)
{
	return left ? (left--, *input++) : 0;
}

/* Up to this many bytes, copied. */
static size_t take(void *to, size_t most)
{
	size_t size = most < left ? most : left;

	if (size)
		memcpy(to, input, size);
	input += size;
	left -= size;
	return size;
}
