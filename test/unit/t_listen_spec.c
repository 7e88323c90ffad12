/* listen_spec: entries of the key listen, an address and the words behind it. */
#include "test/unit/unit.h"

#include "common/listen_spec.h"

static void
taken(void **state)
{
	static const struct {
		const char *text, *address;
		bool is_tls, is_proxy, is_local;
	} rows[] = {
		{"127.0.0.1:8080", "127.0.0.1:8080", false, false, false},
		{":8443 tls", "0.0.0.0:8443", true, false, false},
		{"[::1]:1 proxy", "[::1]:1", false, true, false},
		{"unix:/run/x local", "unix:/run/x", false, false, true},
		{"10.0.0.1:8443 proxy tls", "10.0.0.1:8443", true, true, false},
		{"10.0.0.1:8443 tls proxy", "10.0.0.1:8443", true, true, false},
		{" 10.0.0.1:8443\tlocal  tls proxy ", "10.0.0.1:8443", true, true, true},
	};
	struct listen_spec s;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = {.text = ""};

		assert_int_equal(listen_spec_parse(&s, rows[i].text, &e), 0);
		assert_string_equal(s.text, rows[i].address);
		assert_int_equal(s.is_tls, rows[i].is_tls);
		assert_int_equal(s.is_proxy, rows[i].is_proxy);
		assert_int_equal(s.is_local, rows[i].is_local);
	}
}

#define WORDS "expected \"tls\", \"proxy\" or \"local\" behind the address, got "
#define ADDRESS                                                                                    \
	"expected an address like \"127.0.0.1:8080\", \"[::1]:8080\" or \"unix:/path\", got "

static void
refused(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{"", ADDRESS "\"\""},
		{"tls", ADDRESS "\"tls\""},
		{"tls :8443", ADDRESS "\"tls :8443\""},
		{":8443tls", ADDRESS "\":8443tls\""},
		{"unix:run/x tls", ADDRESS "\"unix:run/x tls\""},
		{":80 x", WORDS "\"x\""},
		{":80 :81", WORDS "\":81\""},
		{":80 proxi", WORDS "\"proxi\"; did you mean \"proxy\"?"},
		{":80 tls loca", WORDS "\"loca\"; did you mean \"local\"?"},
		{":80 TLS", WORDS "\"TLS\"; did you mean \"tls\"?"},
		{":80 ssl", WORDS "\"ssl\"; did you mean \"tls\"?"},
		{":80 proxy_protocol", WORDS "\"proxy_protocol\"; did you mean \"proxy\"?"},
		{":80 tls proxy tls", "expected each word once, got \"tls\" twice"},
	};
	struct listen_spec s;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = {.text = ""};

		assert_int_equal(listen_spec_parse(&s, rows[i].text, &e), -1);
		assert_string_equal(e.text, rows[i].why);
		assert_int_equal(listen_spec_parse(&s, rows[i].text, NULL), -1);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(taken),
		cmocka_unit_test(refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
