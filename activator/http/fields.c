#include "activator/http/fields.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

static const struct known {
	const char *name;
	enum field_id id;
} known[] = {
	{"te", FIELD_TE},
	{"age", FIELD_NOT_IN_TRAILERS},
	{"via", FIELD_VIA},
	{"proxy", FIELD_PROXY}, /* HTTP_PROXY of a CGI program */
	{"date", FIELD_DATE},
	{"host", FIELD_HOST},
	{"vary", FIELD_NOT_IN_TRAILERS},
	{"accept", FIELD_ACCEPT},
	{"cookie", FIELD_NOT_IN_TRAILERS},
	{"expect", FIELD_EXPECT},
	{"pragma", FIELD_NOT_IN_TRAILERS},
	{"expires", FIELD_NOT_IN_TRAILERS},
	{"trailer", FIELD_TRAILER},
	{"upgrade", FIELD_UPGRADE},
	{"if-match", FIELD_NOT_IN_TRAILERS},
	{"if-range", FIELD_NOT_IN_TRAILERS},
	{"location", FIELD_NOT_IN_TRAILERS},
	{"forwarded", FIELD_FORWARDED},
	{"connection", FIELD_CONNECTION},
	{"keep-alive", FIELD_KEEP_ALIVE},
	{"set-cookie", FIELD_NOT_IN_TRAILERS},
	{"retry-after", FIELD_NOT_IN_TRAILERS},
	{"content-type", FIELD_CONTENT_TYPE},
	{"grpc-timeout", FIELD_GRPC_TIMEOUT},
	{"max-forwards", FIELD_MAX_FORWARDS},
	{"range", FIELD_NOT_IN_TRAILERS},
	{"authorization", FIELD_NOT_IN_TRAILERS},
	{"cache-control", FIELD_NOT_IN_TRAILERS},
	{"content-range", FIELD_NOT_IN_TRAILERS},
	{"if-none-match", FIELD_NOT_IN_TRAILERS},
	{"content-length", FIELD_CONTENT_LENGTH},
	{"x-forwarded-for", FIELD_X_FORWARDED_FOR},
	{"content-encoding", FIELD_NOT_IN_TRAILERS},
	{"proxy-connection", FIELD_PROXY},
	{"www-authenticate", FIELD_NOT_IN_TRAILERS},
	{"x-activator-busy", FIELD_X_ACTIVATOR_BUSY},
	{"x-forwarded-host", FIELD_X_FORWARDED_HOST},
	{"if-modified-since", FIELD_NOT_IN_TRAILERS},
	{"transfer-encoding", FIELD_TRANSFER_ENCODING},
	{"x-forwarded-proto", FIELD_X_FORWARDED_PROTO},
	{"proxy-authenticate", FIELD_PROXY},
	{"if-unmodified-since", FIELD_NOT_IN_TRAILERS},
	{"proxy-authorization", FIELD_PROXY},
	{"proxy-authentication-info", FIELD_PROXY},
	{"x-real-ip", FIELD_X_FORWARDED},
	{"front-end-https", FIELD_X_FORWARDED},
	{"x-activator-tag", FIELD_OTHER}, /* the client's choice, of which the instance may know */
};

bool
field_is(const char *a, size_t n, const char *lower)
{
	return strlen(lower) == n && strncasecmp(a, lower, n) == 0;
}

/* The known names by length and first letter.  Most fields of most requests are not known, and
 * these two show it.  Filled before main(), constant from then on. */
#define LENGTHS 26			/* the longest name, and 1 */
static uint8_t firsts[LENGTHS][26];	/* index in `known` plus 1; 0: none */
static uint8_t nexts[ARRAY_LEN(known)]; /* the next with the same length and letter, likewise */

__attribute__((constructor)) static void
fill_tables(void)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(known); i++) {
		uint8_t *first = &firsts[strlen(known[i].name)][known[i].name[0] - 'a'];

		nexts[i] = *first;
		*first = (uint8_t)(i + 1);
	}
}

/* Would it be, with "-" for "_", a field that frames the body or that only a proxy may set? */
static bool
is_alias(const char *name, size_t n, const struct known *k)
{
	size_t i;

	switch (k->id) {
	case FIELD_CONTENT_LENGTH:
	case FIELD_TRANSFER_ENCODING:
	case FIELD_X_FORWARDED:
	case FIELD_X_FORWARDED_FOR:
	case FIELD_X_FORWARDED_HOST:
	case FIELD_X_FORWARDED_PROTO:
		break;
	default:
		return false;
	}
	for (i = 0; i < n; i++)
		if ((name[i] == '_' ? '-' : name[i] | 32) != (k->name[i] | 32))
			return false;
	return true;
}

static uint64_t
eight_differ(const char *name, const char *known_name)
{
	uint64_t a, b;

	memcpy(&a, name, 8);
	memcpy(&b, known_name, 8);
	return (a | UINT64_C(0x2020202020202020)) ^ b;
}

static uint32_t
four_differ(const char *name, const char *known_name)
{
	uint32_t a, b;

	memcpy(&a, name, 4);
	memcpy(&b, known_name, 4);
	return (a | UINT32_C(0x20202020)) ^ b;
}

/* Compares without regard to case, in overlapping pieces of 8 or 4 bytes, because it runs for
 * nearly every field.  `| 32` makes letters lower case; it turns no other byte of a token into
 * one that the known names have. */
static bool
is_name(const char *name, const char *known_name, size_t n)
{
	size_t i;

	_Static_assert(LENGTHS <= 33, "four pieces of eight bytes cover a name");
	if (n > 24 && eight_differ(name + 16, known_name + 16) != 0)
		return false;
	if (n >= 8)
		return (eight_differ(name, known_name) |
			eight_differ(name + n - 8, known_name + n - 8) |
			eight_differ(name + MIN(n - 8, (size_t)8),
				     known_name + MIN(n - 8, (size_t)8))) == 0;
	if (n >= 4)
		return (four_differ(name, known_name) |
			four_differ(name + n - 4, known_name + n - 4)) == 0;
	for (i = 0; i < n; i++)
		if ((name[i] | 32) != known_name[i])
			return false;
	return true;
}

/* Does it begin with these letters, '_' for '-' included? */
static bool
begins(const char *name, size_t n, const char *lower)
{
	size_t i;

	for (i = 0; lower[i] != '\0'; i++)
		if (i == n || (name[i] == '_' ? '-' : name[i] | 32) != lower[i])
			return false;
	return true;
}

/* A name that begins with an 'x' and is not one of the known ones. */
static enum field_id
x_field(const char *name, size_t n)
{
	if (begins(name, n, "x-activator-"))
		return FIELD_X_ACTIVATOR;
	if (!begins(name, n, "x-forwarded-"))
		return FIELD_OTHER;
	return memchr(name, '_', n) != NULL ? FIELD_ALIAS : FIELD_X_FORWARDED;
}

enum field_id
field_id(const char *name, size_t n)
{
	unsigned first = ((unsigned char)name[0] | 32u) - 'a';
	unsigned at;

	if (first > 25)
		return FIELD_OTHER;
	if (n >= LENGTHS)
		return first == 'x' - 'a' ? x_field(name, n) : FIELD_OTHER;
	for (at = firsts[n][first]; at != 0; at = nexts[at - 1]) {
		const struct known *k = &known[at - 1];

		if (is_name(name, k->name, n))
			return k->id;
		if (is_alias(name, n, k))
			return FIELD_ALIAS;
	}
	return first == 'x' - 'a' ? x_field(name, n) : FIELD_OTHER;
}

bool
field_list_next(const char *value, size_t n, size_t *at, const char **element, size_t *len)
{
	while (*at < n) {
		const char *start = value + *at;
		const char *comma = memchr(start, ',', n - *at);
		size_t size = comma == NULL ? n - *at : (size_t)(comma - start);

		*at += size + (comma != NULL);
		while (size > 0 && (*start == ' ' || *start == '\t'))
			start++, size--;
		while (size > 0 && (start[size - 1] == ' ' || start[size - 1] == '\t'))
			size--;
		if (size > 0) {
			*element = start;
			*len = size;
			return true;
		}
	}
	return false;
}

bool
field_list_names(const char *value, size_t n, const char *name, size_t name_n)
{
	const char *element;
	size_t at = 0, len;

	while (field_list_next(value, n, &at, &element, &len))
		if (len == name_n && strncasecmp(element, name, len) == 0)
			return true;
	return false;
}

bool
field_list_has(const char *value, size_t n, const char *lower)
{
	return field_list_names(value, n, lower, strlen(lower));
}

int
field_number(const char *value, size_t n, uint64_t *out)
{
	uint64_t v = 0;
	size_t i;

	if (n == 0)
		return -1;
	for (i = 0; i < n; i++) {
		unsigned digit = (unsigned char)value[i] - (unsigned)'0';

		if (digit > 9 || v > ((uint64_t)INT64_MAX - digit) / 10)
			return -1;
		v = v * 10 + digit;
	}
	*out = v;
	return 0;
}

/* Of what a byte may be a part. */
#define TCHAR 1	  /* token: RFC 9110 5.6.2 */
#define REGNAME 2 /* unreserved and sub-delims of a reg-name: RFC 3986 3.2.2 */
static uint8_t classes[256];

__attribute__((constructor)) static void
fill_classes(void)
{
	const char *ch;
	int i;

	for (i = '0'; i <= '9'; i++)
		classes[i] = TCHAR | REGNAME;
	for (i = 'a'; i <= 'z'; i++)
		classes[i] = classes[i - 32] = TCHAR | REGNAME;
	for (ch = "!#$%&'*+-.^_`|~"; *ch != '\0'; ch++)
		classes[(unsigned char)*ch] |= TCHAR;
	for (ch = "-._~!$&'()*+,;="; *ch != '\0'; ch++)
		classes[(unsigned char)*ch] |= REGNAME;
}

static bool
is_token_by_byte(const char *s, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if ((classes[(unsigned char)s[i]] & TCHAR) == 0)
			return false;
	return n > 0;
}

/* Is each of eight bytes a letter in lower case or '-'?  An addition sets the highest bit of a byte
 * that is at least as large as a bound; none carries over where all bytes are below 0x80. */
static bool
is_plain_name(uint64_t word)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), highs = ones << 7;
	uint64_t from_a = word + ones * (0x80 - 'a'), behind_z = word + ones * (0x7f - 'z');
	uint64_t dash = highs - (word ^ ones * '-');

	return (word & highs) == 0 && (((from_a & ~behind_z) | dash) & highs) == highs;
}

/* Eight characters at a time; the last eight may overlap those before.  is_good: of eight
 * characters; if they are not, or are fewer, each is looked at. */
__attribute__((always_inline)) static inline bool
are_all(const char *s, size_t n, bool (*is_good)(uint64_t), bool (*by_byte)(const char *, size_t))
{
	uint64_t word;
	size_t i;

	if (n < sizeof word)
		return by_byte(s, n);
	for (i = 0; i < n; i += sizeof word) {
		memcpy(&word, s + MIN(i, n - sizeof word), sizeof word);
		if (!is_good(word))
			return by_byte(s, n);
	}
	return true;
}

/* The names of HTTP/2 are plain. */
bool
field_is_token(const char *s, size_t n)
{
	return are_all(s, n, is_plain_name, is_token_by_byte);
}

/* Is none of eight bytes below 0x20, or 0x7f?  The subtraction sets the highest bit of a byte that
 * is less than what is subtracted, and of others only if such a byte is there. */
static bool
is_plain_text(uint64_t word)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), highs = ones << 7;
	uint64_t del = word ^ ones * 0x7f;

	return ((((word - ones * ' ') & ~word) | ((del - ones) & ~del)) & highs) == 0;
}

/* With HTAB, too, or short. */
static bool
is_text_by_byte(const char *s, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (((unsigned char)s[i] < ' ' && s[i] != '\t') || s[i] == 0x7f)
			return false;
	return true;
}

/* Nearly no value has a character below ' ', or DEL. */
bool
field_is_text(const char *s, size_t n)
{
	return are_all(s, n, is_plain_text, is_text_by_byte);
}

static bool
is_hex(unsigned char ch)
{
	return (ch >= '0' && ch <= '9') || ((ch | 32) >= 'a' && (ch | 32) <= 'f');
}

/* reg-name (RFC 3986 3.2.2): unreserved, pct-encoded, sub-delims. */
static bool
is_reg_name(const char *s, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if ((classes[(unsigned char)s[i]] & REGNAME) != 0)
			continue;
		if (s[i] != '%' || n - i < 3 || !is_hex((unsigned char)s[i + 1]) ||
		    !is_hex((unsigned char)s[i + 2]))
			return false;
		i += 2;
	}
	return n > 0;
}

/* "[" IPv6address "]"; IPvFuture is not in use anywhere. */
static bool
is_ip_literal(const char *s, size_t n)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr addr;

	if (n < 2 || s[n - 1] != ']' || n - 2 >= sizeof text || memchr(s, '\0', n) != NULL)
		return false;
	memcpy(text, s + 1, n - 2);
	text[n - 2] = '\0';
	return inet_pton(AF_INET6, text, &addr) == 1;
}

bool
field_authority(const char *s, size_t n, size_t *host_n)
{
	bool is_literal = n > 0 && s[0] == '[';
	const char *close = is_literal ? memchr(s, ']', n) : s;
	const char *colon = close == NULL ? NULL : memchr(close, ':', n - (size_t)(close - s));
	uint64_t port;

	*host_n = colon == NULL ? n : (size_t)(colon - s);
	if (colon != NULL && *host_n + 1 < n && /* an empty port is allowed */
	    (field_number(colon + 1, n - *host_n - 1, &port) < 0 || port > 65535))
		return false;
	return is_literal ? is_ip_literal(s, *host_n) : is_reg_name(s, *host_n);
}
