/* fields: known names are found in any case, and only if every byte is right. */
#include "test/unit/unit.h"

#include <ctype.h>

#include "activator/http/fields.h"

/* A name of each length. */
static const struct {
	const char *name;
	enum field_id id;
} names[] = {
	{"te", FIELD_TE},
	{"via", FIELD_VIA},
	{"date", FIELD_DATE},
	{"host", FIELD_HOST},
	{"expect", FIELD_EXPECT},
	{"trailer", FIELD_TRAILER},
	{"upgrade", FIELD_UPGRADE},
	{"if-match", FIELD_NOT_IN_TRAILERS},
	{"if-range", FIELD_NOT_IN_TRAILERS},
	{"forwarded", FIELD_FORWARDED},
	{"connection", FIELD_CONNECTION},
	{"keep-alive", FIELD_KEEP_ALIVE},
	{"max-forwards", FIELD_MAX_FORWARDS},
	{"content-length", FIELD_CONTENT_LENGTH},
	{"x-forwarded-for", FIELD_X_FORWARDED_FOR},
	{"x-forwarded-host", FIELD_X_FORWARDED_HOST},
	{"x-forwarded-proto", FIELD_X_FORWARDED_PROTO},
	{"transfer-encoding", FIELD_TRANSFER_ENCODING},
	{"proxy-authenticate", FIELD_PROXY},
	{"proxy-authorization", FIELD_PROXY},
	{"proxy-authentication-info", FIELD_PROXY},
	{"x-real-ip", FIELD_X_FORWARDED},
	{"x-forwarded-port", FIELD_X_FORWARDED},
	{"x-forwarded-tls-client-cert-info", FIELD_X_FORWARDED},
	{"x-activator-busy", FIELD_X_ACTIVATOR_BUSY},
	{"x-activator-reason", FIELD_X_ACTIVATOR},
	{"x-activator-tag", FIELD_OTHER},
};

static void
names_are_found_in_either_case(void **state)
{
	size_t i, k, mask;

	(void)state;
	for (i = 0; i < sizeof names / sizeof *names; i++) {
		size_t n = strlen(names[i].name);
		char name[40];

		for (mask = 0; mask < 4; mask++) {
			for (k = 0; k < n; k++)
				name[k] = (char)((mask >> (k & 1) & 1) != 0
							 ? toupper(names[i].name[k])
							 : names[i].name[k]);
			assert_int_equal(field_id(name, n), names[i].id);
		}
	}
}

/* Names with one byte changed, added or missing. */
static void
names_with_another_byte_are_unknown(void **state)
{
	static const char others[] = "!#$%&'*+.^`|~0189q";
	size_t i, k, m;

	(void)state;
	for (i = 0; i < sizeof names / sizeof *names; i++) {
		size_t n = strlen(names[i].name);
		char name[40];

		if (strncmp(names[i].name, "x-", 2) == 0)
			continue; /* what begins with x-forwarded- or x-activator- is known */
		snprintf(name, sizeof name, "%sx", names[i].name);
		assert_int_equal(field_id(name, n + 1), FIELD_OTHER);
		assert_int_not_equal(field_id(name, n - 1), names[i].id);
		for (k = 0; k < n; k++)
			for (m = 0; others[m] != '\0'; m++) {
				memcpy(name, names[i].name, n);
				name[k] = others[m];
				assert_int_equal(field_id(name, n), FIELD_OTHER);
			}
	}
}

static void
an_underscore_is_an_alias(void **state)
{
	(void)state;
	assert_int_equal(field_id("Content_Length", 14), FIELD_ALIAS);
	assert_int_equal(field_id("x_forwarded-FOR", 15), FIELD_ALIAS);
	assert_int_equal(field_id("if_match", 8), FIELD_OTHER);
	assert_int_equal(field_id("X_Real_IP", 9), FIELD_ALIAS);
	assert_int_equal(field_id("x-forwarded_port", 16), FIELD_ALIAS);
	assert_int_equal(field_id("X_Activator_Tag", 15), FIELD_X_ACTIVATOR);
}

static bool
is_tchar(int ch) /* RFC 9110 5.6.2 */
{
	return ch != 0 && strchr("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
				 "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
				 ch) != NULL;
}

/* Each character at each place of texts of different sizes. */
static void
texts_and_tokens(void **state)
{
	char text[20];
	size_t n, at;
	int ch;

	(void)state;
	for (n = 1; n <= sizeof text; n++)
		for (at = 0; at < n; at++)
			for (ch = 0; ch < 256; ch++) {
				memset(text, 'x', sizeof text);
				text[at] = (char)ch;
				assert_int_equal(field_is_text(text, n),
						 ch == '\t' || (ch >= ' ' && ch != 0x7f));
				assert_int_equal(field_is_token(text, n), is_tchar(ch));
			}
	assert_true(field_is_text("", 0));
	assert_false(field_is_token("", 0));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_found_in_either_case),
		cmocka_unit_test(names_with_another_byte_are_unknown),
		cmocka_unit_test(an_underscore_is_an_alias),
		cmocka_unit_test(texts_and_tokens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
