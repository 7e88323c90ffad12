/* addr: which texts are accepted or refused, and how addresses are formatted. */
#include "test/unit/unit.h"

#include "common/addr.h"

static void
taken_and_printed(void **state)
{
	static const struct {
		const char *text, *whole, *bare;
		uint16_t port;
	} rows[] = {
		{"127.0.0.1:80", "127.0.0.1:80", "127.0.0.1", 80},
		{"0.0.0.0:0", "0.0.0.0:0", "0.0.0.0", 0},
		{":8080", "0.0.0.0:8080", "0.0.0.0", 8080},
		{"localhost:65535", "127.0.0.1:65535", "127.0.0.1", 65535},
		{"[::1]:443", "[::1]:443", "::1", 443},
		{"[::]:1", "[::]:1", "::", 1},
		{"[2001:DB8:0:0::0:1]:9", "[2001:db8::1]:9", "2001:db8::1", 9},
		{"[::ffff:1.2.3.4]:9", "[::ffff:1.2.3.4]:9", "::ffff:1.2.3.4", 9},
		{"[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535",
		 "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
		 "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535},
	};
	char buf[ADDR_TEXT];
	struct addr a;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = {.text = ""};

		assert_int_equal(addr_parse(&a, rows[i].text, &e), 0);
		assert_string_equal(addr_format(&a, true, buf), rows[i].whole);
		assert_string_equal(addr_format(&a, false, buf), rows[i].bare);
		assert_int_equal(addr_port(&a), rows[i].port);
	}
}

static void
refused(void **state)
{
	static const char *const rows[] = {
		"",
		":",
		"80",
		"127.0.0.1",
		"127.0.0.1:",
		"127.0.0.1:-1",
		"127.0.0.1:65536",
		"127.0.0.1:99999999999999999999",
		"127.0.0.1: 80",
		"127.0.0.1:80 ",
		"127.1:80",
		"127.0.0.1:0x50",
		"example.com:80",
		"::1:80",
		"[::1]",
		"[::1]80",
		"[127.0.0.1]:80",
		"[]:80",
		"[::1:80",
		"::1]:80",
		"256.0.0.1:80",
		"0127.0.0.1:80",
		"[::g]:1",
		"[00000000000000000000000000000000000000000000000000]:1",
	};
	struct addr a;
	struct err e;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		e.text[0] = '\0';
		if (addr_parse(&a, rows[i], &e) == 0)
			fail_msg("taken: %s", rows[i]);
		assert_true(e.text[0] != '\0');
	}
}

static void
unix_sockets_have_a_path(void **state)
{
	char text[200] = "unix:/", buf[ADDR_TEXT], host[ADDR_IP_TEXT];
	static const char *const wrong[] = {"unix:", "unix:path", "unix:@name", "unix"};
	struct addr a, b;
	struct err e;
	size_t i;

	(void)state;
	memset(text + 6, 'p', 106); /* the longest path: 107 bytes */
	assert_int_equal(addr_parse_any(&a, text, &e), 0);
	assert_true(addr_is_unix(&a));
	assert_string_equal(addr_format(&a, true, buf), text);
	assert_string_equal(addr_format(&a, false, buf), text);
	assert_string_equal(addr_format_host(&a, host), "unix:");
	assert_int_equal(addr_port(&a), 0);
	addr_set_port(&a, 80);
	assert_int_equal(addr_set_any(&b, text, 80, &e), 0);
	assert_true(addr_equal(&a, &b));
	assert_int_equal(addr_parse_any(&b, "unix:/other", &e), 0);
	assert_false(addr_equal(&a, &b));
	text[6 + 106] = 'p';
	assert_int_equal(addr_parse_any(&a, text, &e), -1);
	assert_int_equal(addr_parse(&a, "unix:/run/x", &e), -1); /* IP alone */
	assert_int_equal(addr_set(&a, "unix:/run/x", 0, &e), -1);
	for (i = 0; i < ARRAY_LEN(wrong); i++)
		if (addr_parse_any(&a, wrong[i], &e) == 0)
			fail_msg("taken: %s", wrong[i]);
	assert_int_equal(addr_parse_any(&a, "[::1]:80", &e), 0);
	assert_false(addr_is_unix(&a));
}

static void
names_for_the_resolver(void **state)
{
	static const char *const right[] = {"db:1", "db.internal:8080", "a-b.c_d.example.:65535",
					    "1.2.3.4a:9", "localhost:1"};
	static const char *const wrong[] = {
		"db",	    "db:",	  "db:0",  ":80",	   ".:80",     "a..b:80",
		".a:80",    "a b:1",	  "a/b:1", "300.1.2.3:80", "1.2.3:80", "[db]:80",
		"db:65536", "unix:/x:80", "a:b:1", "example.42:80"};
	char name[ADDR_NAME_TEXT], text[400];
	uint16_t port;
	struct err e;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(right); i++)
		if (addr_parse_name(right[i], name, &port, &e) < 0)
			fail_msg("%s: %s", right[i], e.text);
	assert_int_equal(addr_parse_name("db.internal:8080", name, &port, &e), 0);
	assert_string_equal(name, "db.internal");
	assert_int_equal(port, 8080);
	for (i = 0; i < ARRAY_LEN(wrong); i++)
		if (addr_parse_name(wrong[i], name, &port, &e) == 0)
			fail_msg("taken: %s", wrong[i]);
	snprintf(text, sizeof text, "%064d.example:80", 0);
	assert_int_equal(addr_parse_name(text, name, &port, &e), -1);
	snprintf(text, sizeof text, "%0254d:80", 0);
	assert_int_equal(addr_parse_name(text, name, &port, &e), -1);
}

static struct addr
parsed(const char *text)
{
	struct addr a;
	struct err e;

	assert_int_equal(addr_parse(&a, text, &e), 0);
	return a;
}

static void
equal_by_address_and_port(void **state)
{
	struct addr a = parsed("127.0.0.1:80"), b = parsed("127.0.0.1:80");
	struct addr port = parsed("127.0.0.1:81"), host = parsed("127.0.0.2:80");
	struct addr six = parsed("[::1]:80"), mapped = parsed("[::ffff:127.0.0.1]:80");
	struct addr set;
	struct err e;

	(void)state;
	assert_true(addr_equal(&a, &b));
	assert_false(addr_equal(&a, &port));
	assert_false(addr_equal(&a, &host));
	assert_false(addr_equal(&a, &six));
	assert_false(addr_equal(&a, &mapped));
	assert_int_equal(addr_set(&set, "::1", 80, &e), 0);
	assert_true(addr_equal(&six, &set));
	assert_int_equal(addr_set(&set, "nowhere", 80, &e), -1);
}

static void
networks(void **state)
{
	static const struct {
		const char *net, *inside, *outside;
	} rows[] = {
		{"10.0.0.0/8", "10.255.0.1:1", "11.0.0.0:1"},
		{"192.168.128.0/17", "192.168.255.255:1", "192.168.127.255:1"},
		{"192.168.1.7", "192.168.1.7:9", "192.168.1.6:9"},
		{"10.0.0.0/8", "[::ffff:10.1.2.3]:1", "[::ffff:11.1.2.3]:1"},
		{"0.0.0.0/0", "1.2.3.4:1", "[::1]:1"},
		{"::/0", "[::1]:1", "1.2.3.4:1"},
		{"fe80::/10", "[febf::1]:1", "[fec0::1]:1"},
		{"2001:db8::/127", "[2001:db8::1]:1", "[2001:db8::2]:1"},
		{"::1", "[::1]:1", "[::2]:1"},
	};
	static const char *const wrong[] = {
		"",	  "/8",		 "10.0.0.0/",	"10.0.0.0/33",	"10.0.0/8", "10.1.0.0/8",
		"::/129", "10.0.0.0/8 ", "10.0.0.0/-1", "10.0.0.0/8/8", "host/8"};
	struct addr_net net;
	struct addr client;
	struct err e;
	size_t i;

	(void)state;
	assert_int_equal(addr_net_parse(&net, "unix:", &e), 0);
	assert_int_equal(addr_parse_any(&client, "unix:/run/x", &e), 0);
	assert_true(addr_net_contains(&net, &client));
	assert_int_equal(addr_parse_any(&client, "127.0.0.1:1", &e), 0);
	assert_false(addr_net_contains(&net, &client));
	assert_int_equal(addr_parse_any(&client, "unix:/run/x", &e), 0);
	assert_int_equal(addr_net_parse(&net, "0.0.0.0/0", &e), 0);
	assert_false(addr_net_contains(&net, &client));
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct addr in = parsed(rows[i].inside), out = parsed(rows[i].outside);

		assert_int_equal(addr_net_parse(&net, rows[i].net, &e), 0);
		assert_true(addr_net_contains(&net, &in));
		assert_false(addr_net_contains(&net, &out));
	}
	for (i = 0; i < ARRAY_LEN(wrong); i++)
		if (addr_net_parse(&net, wrong[i], &e) == 0)
			fail_msg("taken: %s", wrong[i]);
	assert_int_equal(addr_net_parse(&net, "10.1.2.3/8", &e), -1);
	assert_non_null(strstr(e.text, "expected 10.0.0.0/8"));
}

static void
from_bytes(void **state)
{
	static const unsigned char v4[] = {192, 0, 2, 1}, v6[16] = {0x20, 1, 0xd, 0xb8, [15] = 1},
				   mapped[16] = {[10] = 0xff, 0xff, 192, 0, 2, 1};
	struct addr a, same = parsed("192.0.2.1:80"), six = parsed("[2001:db8::1]:81");

	(void)state;
	addr_set_bytes(&a, v4, sizeof v4, 80);
	assert_true(addr_equal(&a, &same));
	addr_set_bytes(&a, mapped, sizeof mapped, 80);
	assert_true(addr_equal(&a, &same));
	addr_set_bytes(&a, v6, sizeof v6, 81);
	assert_true(addr_equal(&a, &six));
}

static void
an_unknown_address_is_in_no_network(void **state)
{
	static const char *const nets[] = {"0.0.0.0/0", "::/0", "unix:"};
	struct addr a = {.ss.ss_family = AF_UNSPEC};
	char text[ADDR_TEXT];
	struct addr_net net;
	struct err e;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(nets); i++) {
		assert_int_equal(addr_net_parse(&net, nets[i], &e), 0);
		assert_false(addr_net_contains(&net, &a));
	}
	assert_false(addr_is_ip(&a));
	assert_false(addr_is_unix(&a));
	assert_string_equal(addr_format(&a, true, text), "unknown");
	assert_string_equal(addr_format_host(&a, text), "unknown");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(taken_and_printed),
		cmocka_unit_test(refused),
		cmocka_unit_test(unix_sockets_have_a_path),
		cmocka_unit_test(names_for_the_resolver),
		cmocka_unit_test(equal_by_address_and_port),
		cmocka_unit_test(networks),
		cmocka_unit_test(from_bytes),
		cmocka_unit_test(an_unknown_address_is_in_no_network),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
