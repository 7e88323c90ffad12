#include "activator/access/access_put.h"

#include <stdio.h>
#include <time.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "common/text.h"

#define CUT "..."

/* --- numbers --- */

#define TENS(t) t "0" t "1" t "2" t "3" t "4" t "5" t "6" t "7" t "8" t "9"
const char access_put_pairs[] = TENS("0") TENS("1") TENS("2") TENS("3") TENS("4") TENS("5")
	TENS("6") TENS("7") TENS("8") TENS("9");
#undef TENS

char *
access_put_big(char *out, uint64_t n)
{
	char digits[20];
	size_t at = sizeof digits;

	for (; n >= 100; n /= 100)
		put_2_digits(digits + (at -= 2), (unsigned)(n % 100));
	if (n >= 10)
		put_2_digits(digits + (at -= 2), (unsigned)n);
	else
		digits[--at] = (char)('0' + n);
	return put(out, digits + at, sizeof digits - at);
}

/* --- time --- */

static void
set_second(struct access_clock *c, int64_t second)
{
	time_t t = (time_t)second;
	struct tm tm;

	c->second = second;
	gmtime_r(&t, &tm);
	strftime(c->iso, sizeof c->iso, "%Y-%m-%dT%H:%M:%S.000Z", &tm);
	localtime_r(&t, &tm);
	c->local_n = strftime(c->local, sizeof c->local, "%d/%b/%Y:%H:%M:%S %z", &tm);
}

static void
set_time(struct access_clock *c, int64_t ms)
{
	if (ms / 1000 != c->second || c->iso[0] == '\0')
		set_second(c, ms / 1000);
	put_3_digits(c->iso + ACCESS_ISO_SIZE - sizeof "000Z" + 1, (unsigned)(ms % 1000));
	c->ms = ms;
}

char *
access_put_iso(char *out, int64_t wall_ns, struct access_clock *c)
{
	int64_t ms = MAX(wall_ns, INT64_C(0)) / CLK_MS;

	if (ms != c->ms || c->iso[0] == '\0')
		set_time(c, ms);
	return put(out, c->iso, ACCESS_ISO_SIZE);
}

char *
access_put_local(char *out, int64_t wall_ns, struct access_clock *c)
{
	int64_t ms = MAX(wall_ns, INT64_C(0)) / CLK_MS;

	if (ms != c->ms || c->iso[0] == '\0')
		set_time(c, ms);
	return put(out, c->local, c->local_n);
}

/* --- text --- */

/* Bytes stand for themselves if they are ASCII from the blank to the tilde, and neither quotes nor
 * backslashes.  Most texts consist of them: they are copied and checked in blocks.  copy_block()
 * copies a block, and returns whether it is of such bytes; are_plain() takes up to eight bytes. */

#ifdef __SSE2__
#define BLOCK ((size_t)16)

static inline bool
is_plain_vector(__m128i v)
{
	const __m128i odd = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')),
						      _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'))),
					 _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f)));
	/* Bytes above ASCII are below 0 here. */
	const __m128i text = _mm_cmpgt_epi8(v, _mm_set1_epi8(0x1f));

	return _mm_movemask_epi8(_mm_andnot_si128(odd, text)) == 0xffff;
}

static inline bool
copy_block(char *out, const char *s)
{
	const __m128i v = _mm_loadu_si128((const __m128i *)(const void *)s);

	_mm_storeu_si128((__m128i *)(void *)out, v);
	return is_plain_vector(v);
}

static inline bool
are_plain(uint64_t a, uint64_t b)
{
	return is_plain_vector(_mm_set_epi64x((int64_t)a, (int64_t)b));
}
#else
#define BLOCK ((size_t)8)
#define ONES UINT64_C(0x0101010101010101)
#define HIGH UINT64_C(0x8080808080808080)
/* The high bit is set in each byte of w that is 0; above the first such byte it may be set in
 * others, too. */
#define ZERO_BYTES(w) (((w)-ONES) & ~(w)&HIGH)

static inline uint64_t
odd_bytes(uint64_t w)
{
	uint64_t odd = w & HIGH; /* not ASCII */

	odd |= (w - 0x20 * ONES) & ~w & HIGH; /* below the blank */
	odd |= ZERO_BYTES(w ^ ONES * '"');
	odd |= ZERO_BYTES(w ^ ONES * '\\');
	return odd | ZERO_BYTES(w ^ ONES * 0x7f);
}

static inline bool
copy_block(char *out, const char *s)
{
	uint64_t w;

	memcpy(&w, s, sizeof w);
	memcpy(out, &w, sizeof w);
	return odd_bytes(w) == 0;
}

static inline bool
are_plain(uint64_t a, uint64_t b)
{
	return (odd_bytes(a) | odd_bytes(b)) == 0;
}
#endif

#define BLANKS UINT64_C(0x2020202020202020)

/* Copies n bytes, fewer than 16, and checks them.  The two halves of each may overlap. */
static inline bool
copy_short(char *out, const char *s, size_t n)
{
	uint64_t a, b = BLANKS;
	uint32_t c4, d4;
	uint16_t c2, d2;

	if (n >= 8) {
		memcpy(&a, s, 8);
		memcpy(&b, s + n - 8, 8);
		memcpy(out, &a, 8);
		memcpy(out + n - 8, &b, 8);
	} else if (n >= 4) {
		memcpy(&c4, s, 4);
		memcpy(&d4, s + n - 4, 4);
		memcpy(out, &c4, 4);
		memcpy(out + n - 4, &d4, 4);
		a = (uint64_t)c4 << 32 | d4;
	} else if (n >= 2) {
		memcpy(&c2, s, 2);
		memcpy(&d2, s + n - 2, 2);
		memcpy(out, &c2, 2);
		memcpy(out + n - 2, &d2, 2);
		a = BLANKS << 32 | (uint32_t)c2 << 16 | d2;
	} else if (n == 1) {
		*out = *s;
		a = BLANKS << 8 | (unsigned char)*s;
	} else {
		return true;
	}
	return are_plain(a, b);
}

static char *
put_hex_byte(char *out, unsigned char c)
{
	out[0] = "0123456789abcdef"[c >> 4];
	out[1] = "0123456789abcdef"[c & 15];
	return out + 2;
}

/* In a format: \xHH, as nginx and Apache write it. */
static char *
put_odd_text(char *out, const char **s, size_t n)
{
	(void)n;
	return put_hex_byte(PUT_LITERAL(out, "\\x"), (unsigned char)*(*s)++);
}

/* In JSON: characters that are not ASCII stand for themselves, except for the control characters
 * U+0080 to U+009F. */
static char *
put_odd_json(char *out, const char **s, size_t n)
{
	unsigned char c = (unsigned char)**s;
	size_t length = c < 0x80 ? 1 : text_utf8_length(*s, n);

	if (length == 0 || c == '\0') { /* not UTF-8, or what many readers of JSON do not take */
		++*s;
		return PUT_LITERAL(out, "\\ufffd");
	}
	if (c == '"' || c == '\\') {
		*out++ = '\\';
		*out++ = (char)c;
	} else if (length == 1 || (length == 2 && c == 0xc2 && (unsigned char)(*s)[1] < 0xa0)) {
		out = PUT_LITERAL(out, "\\u00");
		out = put_hex_byte(out, length == 1 ? c : (unsigned char)(*s)[1]);
	} else {
		out = put(out, *s, length);
	}
	*s += length;
	return out;
}

/* Each byte that stands for itself. */
static const bool is_plain[256] = {
	[' ' ... '!'] = true, ['#' ... '['] = true, [']' ... '~'] = true};

typedef char *put_odd_fn(char *out, const char **s, size_t n);

static inline char *
put_byte(char *out, const char **s, const char *end, put_odd_fn *put_odd)
{
	if (!is_plain[(unsigned char)**s])
		return put_odd(out, s, (size_t)(end - *s));
	*out = *(*s)++;
	return out + 1;
}

static inline char *
put_escaped(char *out, const struct access_text *t, put_odd_fn *put_odd)
{
	size_t n = MIN(t->n, ACCESS_TEXT_MAX);
	const char *s = t->s, *end = s + n;

	while (s < end) {
		if ((size_t)(end - s) >= BLOCK && copy_block(out, s)) {
			out += BLOCK;
			s += BLOCK;
		} else {
			out = put_byte(out, &s, end, put_odd);
		}
	}
	return n < t->n ? PUT_LITERAL(out, CUT) : out;
}

static char *__attribute__((noinline)) put_odd_json_text(char *out, const struct access_text *t)
{
	return put_escaped(out, t, put_odd_json);
}

static char *__attribute__((noinline)) put_odd_format_text(char *out, const struct access_text *t)
{
	return put_escaped(out, t, put_odd_text);
}

/* Copy the text.  False: some of its bytes need escapes, or it is too long. */
static inline bool
copy_plain(char *out, const struct access_text *t)
{
	const char *s = t->s;
	size_t n = t->n, i;

	if (n < 16)
		return copy_short(out, s, n);
	if (n > ACCESS_TEXT_MAX)
		return false;
	for (i = 0; i + BLOCK <= n; i += BLOCK)
		if (!copy_block(out + i, s + i))
			return false;
	return copy_block(out + n - BLOCK, s + n - BLOCK); /* some of its bytes once more */
}

char *
access_put_json(char *out, const struct access_text *t)
{
	return copy_plain(out, t) ? out + t->n : put_odd_json_text(out, t);
}

char *
access_put_text(char *out, const struct access_text *t)
{
	return copy_plain(out, t) ? out + t->n : put_odd_format_text(out, t);
}
