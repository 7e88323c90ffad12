#include "unit.h"

#include <ctype.h>

#include "common/conf_names.h"
#include "common/settings.h"
#include "common/settings_value.h"
#include "common/strbuf.h"

#define REFERENCE "conf/activator.conf"
#define MINIMAL "service \"a\" { hosts = {\"a\"} revision \"v1\" { command = {\"a\"} } }\n"

static struct settings *
loaded(const char *text)
{
	struct settings_errors errors;
	struct settings *s = settings_load_bytes("t.conf", text, strlen(text), &errors);

	if (s == NULL)
		print_error("%s\n", errors.lines[0]);
	assert_non_null(s);
	assert_int_equal(errors.n, 0);
	settings_errors_free(&errors);
	return s;
}

/* --- mistakes, and the error of each --- */

#define SERVICE(keys, revisions) "service \"a\" {\nhosts = {\"a\"}\n" keys "\n" revisions "}\n"
#define V1 "revision \"v1\" { command = {\"a\"} }\n"
#define V2 "revision \"v2\" { command = {\"a\"} }\n"
#define REVISION(keys) SERVICE("", "revision \"v1\" {\n" keys "}\n")

static const struct {
	const char *text;
	const char *errors; /* one on each line, without "t.conf:" */
} mistakes[] = {
	/* TLS to instances */
	{SERVICE("", "revision \"v1\" {\naddresses = {\"127.0.0.1:1\"}\nupstream_ca = \"a\"\n}\n"),
	 "6: upstream_ca: expected upstream_tls = yes too, got no"},
	{SERVICE("upstream_tls = yes", "revision \"v1\" {\naddresses = {\"unix:/a\"}\n}\n"),
	 "5: addresses: expected upstream_name together with upstream_tls and \"unix:/a\", got "
	 "none"},
	/* values */
	{"activator {\nidle_timeout = \"5 parsecs\"\n}",
	 "2: idle_timeout: expected a duration like \"500ms\", got \"5 parsecs\""},
	{"activator { idle_timeout = 60 }",
	 "1: idle_timeout: expected a duration like \"500ms\", got \"60\""},
	{"activator { idle_timeout = -1s }",
	 "1: idle_timeout: expected a duration like \"500ms\", got \"-1s\""},
	{"autoscaler { stable_window = 2h }", "1: stable_window: expected 1s to 1h, got \"2h\""},
	{"activator { max_head = 64 }", "1: max_head: expected 1KiB to 64KiB, got \"64\""},
	{"activator { max_head = 64X }",
	 "1: max_head: expected a size like \"64KiB\", got \"64X\""},
	{"activator { workers = many }", "1: workers: expected a whole number, got \"many\""},
	{"activator { workers = 1.5 }", "1: workers: expected a whole number, got \"1.5\""},
	{"activator { workers = 0x10 }", "1: workers: expected a whole number, got \"0x10\""},
	{"activator { workers = 257 }", "1: workers: expected 0 to 256, got \"257\""},
	{"activator { via = perhaps }", "1: via: expected yes or no, got \"perhaps\""},
	{"autoscaler { driver = docker }",
	 "1: driver: expected \"process\" or \"kubernetes\", got \"docker\""},
	{"autoscaler { target_utilization = 0.7 }",
	 "1: target_utilization: expected 1 to 100, got \"0.7\""},
	{"autoscaler { panic_threshold_percentage = 100% }",
	 "1: panic_threshold_percentage: expected 110 to 1000, got \"100%\""},
	{"autoscaler { target = 10% }", "1: target: expected a number, got \"10%\""},
	{"autoscaler { max_scale_up_rate = 1 }",
	 "1: max_scale_up_rate: expected 1.01 to 1000000, got \"1\""},
	{"autoscaler { ports = 29999-20000 }",
	 "1: ports: expected ports like \"20000-29999\", got \"29999-20000\""},
	{"activator { listen = {\"127.0.0.1:8080\",\n\"example.com:80\"} }",
	 "2: listen: expected an address like \"127.0.0.1:8080\", \"[::1]:8080\" or "
	 "\"unix:/path\", got "
	 "\"example.com:80\""},
	{"activator { trusted_proxies = {\"10.0.0.0/33\"} }",
	 "1: trusted_proxies: expected a network like \"10.0.0.0/8\", got \"10.0.0.0/33\""},
	{"activator { probe = health }",
	 "1: probe: expected \"auto\", \"tcp\", \"readiness\", \"grpc\", \"grpc:NAME\" or a path like "
	 "\"/healthz\", got \"health\""},
	{"socket = {\"a\", \"b\"}", "1: socket: expected one value, got a list"},
	{"activator { workers = {} }", "1: workers: expected one value, got an empty list"},
	{"activator { listen = {} }", "1: listen: expected an address, got an empty list"},
	{"socket = \"\"", "1: socket: expected a path of 1 to 107 bytes, got \"\""},
	{"log_level = \"a\\n\\x01\\\"b\"",
	 "1: log_level: expected \"trace\", \"debug\", \"info\", \"warn\" or \"error\", got "
	 "\"a\\n\\x01\\\"b\""},
	/* unknown names, and names in the wrong section */
	{"log_levl = info", "1: log_levl: unknown key; did you mean \"log_level\"?"},
	{"something_else = 3", "1: something_else: unknown key"},
	{"stable_windw = 3s",
	 "1: stable_windw: unknown key; did you mean \"stable_window\" (in autoscaler, "
	 "service or revision)?"},
	{"activator {\nstable_window = 3s }",
	 "2: stable_window: not allowed in activator, expected in autoscaler, service or revision"},
	{"servise \"x\" { hosts = {\"a\"} }",
	 "1: servise: unknown section; did you mean \"service\" (at the top level)?"},
	{"revision \"v1\" { }", "1: revision: not allowed at the top level, expected in service"},
	{"log_level = info\nlog_level = warn",
	 "2: log_level: expected it once, but line 1 sets it already"},
	{"activator { }\nactivator { }",
	 "2: activator: expected it once, but line 1 has it already"},
	{MINIMAL "service \"a\" { hosts = {\"b\"} " V1 "}",
	 "2: service \"a\": expected it once, but line 1 has it already"},
	{SERVICE("", V1 V1), "5: revision \"v1\": expected it once, but line 4 has it already"},
	{"service \"a b\" { hosts = {\"a\"} " V1 "}",
	 "1: service: expected a name of at most 63 letters, digits, \"-\", \"_\" and \".\", got "
	 "\"a b\""},
	/* services */
	{"service \"a\" { " V1 "}", "1: service \"a\": expected hosts, got none"},
	{"service \"a\" { hosts = {\"a\"} }", "1: service \"a\": expected a revision, got none"},
	{"service \"a\" { hosts = {\"ok\",\n\"a:80\"} " V1 "}",
	 "2: hosts: expected a host name without a port, \"*.NAME\" or \"*\", got \"a:80\""},
	{"service \"a\" { hosts = {\"a..b\"} " V1 "}",
	 "1: hosts: expected a host name without a port, \"*.NAME\" or \"*\", got \"a..b\""},
	{SERVICE("paths = {\"api\"}", V1),
	 "3: paths: expected a path like \"/api\", which stands for all below it, too; "
	 "without \"*\", \"..\", \"//\", \";\" and encoded slashes, got \"api\""},
	{SERVICE("paths = {\"/api/*\"}", V1),
	 "3: paths: expected a path like \"/api\", which stands for all below it, too; "
	 "without \"*\", \"..\", \"//\", \";\" and encoded slashes, got \"/api/*\""},
	{SERVICE("rule \"r\" { action = wake paths = {\"/a/../b\"} }", V1),
	 "3: paths: expected a path like \"/api\", which stands for all below it, too; "
	 "without \"*\", \"..\", \"//\", \";\" and encoded slashes, got \"/a/../b\""},
	{SERVICE("rule \"r\" { action = wake methods = {\"delete\"} }", V1),
	 "3: methods: expected a method in upper case like \"GET\", got \"delete\""},
	{SERVICE("sticky = \"x\"", V1),
	 "3: sticky: expected \"cookie:NAME\" or \"header:NAME\", got \"x\""},
	{SERVICE("owner = \"web team\"", V1),
	 "3: owner: expected 1 to 63 letters, digits and \"-_.@/\", got \"web team\""},
	{SERVICE("cost_center = \"\"", V1),
	 "3: cost_center: expected 1 to 63 letters, digits and \"-_.@/\", got \"\""},
	{SERVICE("match_value = \"x\"", V1), "3: match_value: expected match_header too, got none"},
	{MINIMAL "service \"b\" {\nhosts = {\"b\", \"A\"} " V1 "}",
	 "3: service \"b\": expected a host and path of its own, got \"A\", which service \"a\" "
	 "(line 1) has already"},
	{"service \"a\" { hosts = {\"a\"} paths = {\"/x/\"} " V1 "}\n"
	 "service \"b\" { hosts = {\"a\"} paths = {\"/x\"} " V1 "}",
	 "3: service \"b\": expected a host and path of its own, got \"a/x\", which service \"a\" "
	 "(line 1) has already"},
	/* traffic */
	{SERVICE("", V1 V2),
	 "1: service \"a\": expected traffic sections for its 2 revisions, got none"},
	{SERVICE("traffic \"v1\" { percent = 50 }\ntraffic \"v2\" { percent = 40% }", V1 V2),
	 "3: service \"a\": expected traffic percents that sum to 100, got 90"},
	{SERVICE("traffic \"v3\" { percent = 100 }", V1),
	 "3: traffic: expected a revision of service \"a\", got \"v3\""},
	{SERVICE("traffic \"v1\" { percent = 100 tag = \"No_dns\" }", V1),
	 "3: tag: expected a DNS label (a-z, 0-9, \"-\"), got \"No_dns\""},
	{SERVICE("traffic \"v1\" { percent = 100 tag = x }\ntraffic \"v2\" { tag = x }", V1 V2),
	 "4: tag: expected a tag of its own, got \"x\", which line 3 has already"},
	{SERVICE("traffic \"v1\" { percent = 1000 }", V1),
	 "3: percent: expected 0 to 100, got \"1000\""},
	{SERVICE("traffic \"v1\" { percent = 60\nlatest = 61 }\ntraffic \"v2\" { percent = 40 }",
		 V1 V2),
	 "4: latest: expected at most percent (60), got \"61\""},
	{"autoscaler { min_non_active_revisions = 5\nmax_non_active_revisions = 4 }\n" MINIMAL,
	 "1: min_non_active_revisions: expected min_non_active_revisions (5) to be at most "
	 "max_non_active_revisions (4)"},
	{"autoscaler {\nmax_non_active_revisions = 4 }\n" MINIMAL,
	 "2: max_non_active_revisions: expected min_non_active_revisions (20) to be at most "
	 "max_non_active_revisions (4)"},
	/* revisions */
	{REVISION(""), "4: revision \"v1\": expected one of command, addresses, deployment and "
		       "workload, got none"},
	{REVISION("command = {\"a\"}\naddresses = {\"127.0.0.1:1\"}\n"),
	 "6: addresses: expected one of command, addresses, deployment and workload, got command "
	 "in line 5 too"},
	{REVISION("command = {}\n"), "4: command: expected at least one value, got an empty list"},
	{REVISION("command = {\"a\",\n\"\"}\n"),
	 "6: command: expected an argument that is not empty, got \"\""},
	{REVISION("deployment = \"default/a\"\n"),
	 "5: deployment: expected driver = kubernetes, got \"process\""},
	{"autoscaler { driver = kubernetes }\n" MINIMAL,
	 "2: command: expected driver = process, got \"kubernetes\""},
	{"autoscaler { driver = kubernetes }\n" REVISION("deployment = \"a\"\n"),
	 "6: deployment: expected \"namespace/name\", got \"a\""},
	{"autoscaler { driver = kubernetes }\n" SERVICE(
		 "", "revision \"v1\" { deployment = \"d/a\" }\nrevision \"v2\" {\ntarget = "
		     "\"apps/v1/Deployment/d/a\" }\n"
		     "traffic \"v1\" { percent = 100 }\n"),
	 "7: workload: expected a workload of its own, got \"apps/v1/Deployment/d/a\", which revision "
	 "\"a/v1\" (line 5) has already"},
	{REVISION("command = {\"a\"}\nport = 80\n"),
	 "6: port: has no effect together with command"},
	{REVISION("command = {\"a\"}\nprobe = readiness\n"),
	 "6: probe: expected \"auto\", \"tcp\", \"grpc\" or a path together with command, got \"readiness\""},
	{REVISION("command = {\"a\"}\nenvironment = {\"A=1\", \"B\"}\n"),
	 "6: environment: expected \"NAME=value\" with a name other than PORT, got \"B\""},
	{REVISION("command = {\"a\"}\nenvironment = {\"A=1\",\n\"A=2\"}\n"),
	 "7: environment: expected each name once, got \"A\" again"},
	{REVISION("command = {\"a\"}\nmin_scale = 3\nmax_scale = 2\n"),
	 "6: min_scale: expected at most max_scale (2, line 7), got \"3\""},
	{"autoscaler {\nmin_scale = 3 }\n" REVISION("command = {\"a\"}\nmax_scale = 2\n"),
	 "2: min_scale: expected at most max_scale (2, line 8), got \"3\""},
	{"autoscaler { max_instances = 2 }\n" REVISION("command = {\"a\"}\ninitial_scale = 3\n"),
	 "7: initial_scale: expected at most max_instances (2, line 1), got \"3\""},
	{"autoscaler { max_instances = 2\nmin_scale = 3\nactivation_scale = 4 }\n" MINIMAL,
	 "2: min_scale: expected at most max_instances (2, line 1), got \"3\"\n"
	 "3: activation_scale: expected at most max_instances (2, line 1), got \"4\""},
	{"autoscaler { max_instances = 2 }\n" REVISION(
		 "command = {\"a\"}\nschedule \"x\" {\ncron = \"0 0 * * *\"\nmin_scale = 3 }\n"),
	 "9: min_scale: expected at most max_instances (2, line 1), got \"3\""},
	{"autoscaler { max_instances = 5\nmin_scale = 2 }\n" SERVICE(
		 "", V1 V2 "revision \"v3\" { command = {\"a\"}\nmin_scale = 3 }\n"
			   "traffic \"v1\" { percent = 100 }\n"),
	 "9: min_scale: expected at most max_instances (5, line 1) over all revisions, got \"3\" "
	 "in addition to 4 of other revisions"},
	{REVISION("command = {\"a\"}\nschedule \"x\" { duration = 1h }\n"),
	 "6: schedule \"x\": expected cron, got none"},
	{REVISION("command = {\"a\"}\nschedule \"x\" { cron = \"61 * * * *\" }\n"),
	 "6: cron: expected \"minute hour day month weekday\", like \"0 8 * * 1-5\", got \"61 * * * "
	 "*\""},
	/* rules */
	{SERVICE("rule \"x\" {\nstatus = 404 }", V1),
	 "4: status: expected action = answer in this rule"},
	{SERVICE("rule \"x\" { contains = \"bot\" }", V1),
	 "3: contains: expected header too, got none"},
	{SERVICE("rule \"x\" { action = answer fields = {\"Content-Length: 3\"} }", V1),
	 "3: fields: expected \"name: value\" of a field that neither frames the response nor "
	 "ends the connection, got \"Content-Length: 3\""},
	/* addresses */
	{"activator { admin = \"127.0.0.1:8082\" }",
	 "1: admin: expected an address of its own, got \"127.0.0.1:8082\", which admin of "
	 "autoscaler has by default"},
	{"activator { listen = {\"127.0.0.1:80\"}\nadmin = \"127.0.0.1:80\" }",
	 "2: admin: expected an address of its own, got \"127.0.0.1:80\", which listen of "
	 "activator has in line 1"},
	{"activator { listen = {\"unix:/run/a\",\n\"unix:/run/a\"} }",
	 "2: listen: expected an address of its own, got \"unix:/run/a\", which listen of "
	 "activator has in line 1"},
	{"activator { listen = {\"unix:run/a\"} }",
	 "1: listen: expected an address like \"127.0.0.1:8080\", \"[::1]:8080\" or "
	 "\"unix:/path\", got \"unix:run/a\""},
	{"activator { listen = {\"127.0.0.1:80\",\n\"127.0.0.1:81 prxy\"} }",
	 "2: listen: expected \"tls\", \"proxy\" or \"local\" behind the address, got "
	 "\"prxy\"; did you mean \"proxy\"?"},
	{"activator { listen = {\"127.0.0.1:80\",\n\"127.0.0.1:81 tls\"} }",
	 "2: listen: expected a certificate section for \"127.0.0.1:81 tls\", got none"},
	{"activator { listen = {\"127.0.0.1:81 proxy\"} }",
	 "1: listen: expected trusted_proxies too, which name those that may send a PROXY protocol "
	 "header, got \"127.0.0.1:81 proxy\" alone"},
	{"activator { listen = {\"127.0.0.1:80\",\n\"127.0.0.1:80 local\"} }",
	 "2: listen: expected an address of its own, got \"127.0.0.1:80 local\", which listen of "
	 "activator has in line 1"},
	{SERVICE("visibility = local", V1),
	 "3: visibility: expected \"public\", since no address in listen has the word \"local\", "
	 "got \"local\""},
	{SERVICE("visibility = cluster", V1),
	 "3: visibility: expected \"public\" or \"local\", got \"cluster\""},
	{"owner \"a b\" {\nmax_instances = 1 }\n",
	 "1: owner: expected 1 to 63 letters, digits and \"-_.@/\", got \"a b\""},
	{"owner \"a\" {\nmax_instance = 1 }\n",
	 "2: max_instance: unknown key; did you mean \"max_instances\"?"},
	{"activator { owner \"a\" { } }\n",
	 "1: owner: not allowed in activator, expected at the top level"},
	{"activator { certificate \"a\" {\nkey = \"k\" } }",
	 "1: certificate \"a\": expected chain, got none"},
	{"activator { certificate \"a\" { chain = \"c\"\nclient_certificate = optional } }",
	 "2: client_certificate: expected client_ca too, got none"},
	{"activator { listen_mode = 0888 }",
	 "1: listen_mode: expected an octal mode like \"0660\", got \"0888\""},
	{REVISION("addresses = {\"app.internal\"}"),
	 "5: addresses: expected an address like \"127.0.0.1:8080\", \"name.example:8080\" or "
	 "\"unix:/path\", got \"app.internal\""},
	{REVISION("addresses = {\"127.0.0.1:0\"}"),
	 "5: addresses: expected an address like \"127.0.0.1:8080\", \"name.example:8080\" or "
	 "\"unix:/path\", got \"127.0.0.1:0\""},
	{REVISION("addresses = {\"300.0.0.1:80\"}"),
	 "5: addresses: expected an address like \"127.0.0.1:8080\", \"name.example:8080\" or "
	 "\"unix:/path\", got \"300.0.0.1:80\""},
	/* several at once, in the order of the file */
	{MINIMAL "bogus = 2\nactivator {\nworkers = x\nvia = y\n}\nlog_level = z\n",
	 "2: bogus: unknown key\n"
	 "4: workers: expected a whole number, got \"x\"\n"
	 "5: via: expected yes or no, got \"y\"\n"
	 "7: log_level: expected \"trace\", \"debug\", \"info\", \"warn\" or \"error\", got \"z\""},
};

static char *
joined(const struct settings_errors *errors)
{
	struct strbuf b;
	size_t i;

	strbuf_init(&b, 0);
	for (i = 0; i < errors->n; i++) {
		assert_memory_equal(errors->lines[i], "t.conf:", 7);
		strbuf_addf(&b, "%s%s", i == 0 ? "" : "\n", errors->lines[i] + 7);
	}
	return strbuf_take(&b);
}

static void
each_mistake_is_reported(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(mistakes); i++) {
		struct settings_errors errors;
		const char *text = mistakes[i].text;
		char *got;

		assert_null(settings_load_bytes("t.conf", text, strlen(text), &errors));
		got = joined(&errors);
		if (strcmp(got, mistakes[i].errors) != 0)
			print_error("in:\n%s\n", text);
		assert_string_equal(got, mistakes[i].errors);
		free(got);
		settings_errors_free(&errors);
	}
}

static void
past_twenty_they_are_counted(void **state)
{
	struct settings_errors errors;
	struct strbuf b;
	int i;

	(void)state;
	strbuf_init(&b, 0);
	for (i = 0; i < 30; i++)
		strbuf_addf(&b, "service \"s%d\" { hosts = {\"h%d\"} }\n", i, i);
	assert_null(settings_load_bytes("t.conf", b.data, b.len, &errors));
	assert_int_equal(errors.n, 21);
	assert_string_equal(errors.lines[19],
			    "t.conf:20: service \"s19\": expected a revision, got "
			    "none");
	assert_string_equal(errors.lines[20], "t.conf: and 10 more mistakes");
	settings_errors_free(&errors);
	strbuf_fini(&b);
}

static void
files_that_cannot_be_read(void **state)
{
	struct settings_errors errors;

	(void)state;
	assert_null(settings_load("/nowhere/a.conf", &errors));
	assert_string_equal(errors.lines[0],
			    "/nowhere/a.conf: cannot be read: No such file or directory");
	settings_errors_free(&errors);
	assert_null(settings_load("/", &errors));
	assert_string_equal(errors.lines[0], "/: cannot be read: Is a directory");
	settings_errors_free(&errors);
}

/* --- the settings that are loaded --- */

static void
an_empty_file_is_all_defaults(void **state)
{
	struct settings *s = loaded("");

	(void)state;
	assert_string_equal(s->socket, "/run/activator/autoscaler.sock");
	assert_string_equal(s->activator.listen.v[0], "0.0.0.0:8080");
	assert_null(s->activator.listen.v[1]);
	assert_int_equal(s->activator.listeners_n, 1);
	assert_string_equal(s->activator.listeners[0].text, "0.0.0.0:8080");
	assert_false(s->activator.listeners[0].is_local);
	assert_int_equal(s->activator.max_parked_bytes, 256 << 20);
	assert_int_equal(s->activator.limits.idle_timeout, 75000000000);
	assert_int_equal(s->autoscaler.port_first, 20000);
	assert_int_equal(s->autoscaler.port_last, 29999);
	assert_int_equal(s->services_n, 0);
	settings_free(&s);
}

static void
keys_are_looked_for_level_by_level(void **state)
{
	struct settings *s = loaded(
		"activator { idle_timeout = 10s head_timeout = 11s }\n"
		"autoscaler { stable_window = 12s stop_timeout = 13s min_scale = 2 }\n"
		"service \"a\" {\n"
		"    hosts = {\"a\"}\n"
		"    head_timeout = 14s  stable_window = 15s  target = 7\n"
		"    probe = /healthz\n"
		"    traffic \"v2\" { percent = 100% }\n"
		"    revision \"v1\" { command = {\"a\"} target = 8 probe = tcp }\n"
		"    revision \"v2\" { command = {\"a\"} stop_timeout = 1.5s }\n"
		"}\n");
	struct revision_conf *v1 = &s->services[0].revisions[0], *v2 = v1 + 1;

	(void)state;
	assert_string_equal(v2->full_name, "a/v2");
	assert_int_equal(v2->line, 9);
	assert_int_equal(v1->limits.idle_timeout, 10000000000);
	assert_int_equal(v1->limits.head_timeout, 14000000000);
	assert_int_equal(v1->scaling.stable_window, 15000000000);
	assert_int_equal(v1->scaling.min_scale, 2);
	assert_true(v1->scaling.target == 8 && v2->scaling.target == 7);
	assert_int_equal(v1->launch.stop_timeout, 13000000000);
	assert_int_equal(v2->launch.stop_timeout, 1500000000);
	assert_int_equal(v1->limits.probe, PROBE_TCP);
	assert_null(v1->limits.probe_text);
	assert_string_equal(v2->limits.probe_text, "/healthz");
	assert_int_equal(s->services[0].traffic[0].percent, 100);
	settings_free(&s);
}

static void
one_revision_needs_no_traffic(void **state)
{
	struct settings *s = loaded(MINIMAL);

	(void)state;
	assert_int_equal(s->services[0].traffic_n, 1);
	assert_string_equal(s->services[0].traffic[0].revision, "v1");
	assert_int_equal(s->services[0].traffic[0].percent, 100);
	settings_free(&s);
}

static void
target_may_name_a_workload(void **state)
{
	struct settings *s = loaded("autoscaler { driver = kubernetes }\n" REVISION(
		"target = \"apps/v1/Deployment/default/hello\"\n"));

	(void)state;
	assert_string_equal(s->services[0].revisions[0].launch.workload,
			    "apps/v1/Deployment/default/hello");
	assert_true(s->services[0].revisions[0].scaling.target == 0);
	settings_free(&s);
}

static void
a_header_tells_services_apart(void **state)
{
	struct settings *s = loaded(
		MINIMAL "service \"b\" { hosts = {\"a\"} match_header = x match_value = 1 " V1
			"}\nservice \"c\" { hosts = {\"a\"} match_header = x match_value = 2 " V1
			"}\nservice \"d\" { hosts = {\"a\"} paths = {\"/d\"} " V1 "}\n");

	(void)state;
	assert_int_equal(s->services_n, 4);
	settings_free(&s);
}

static void
variables_are_not_replaced(void **state)
{
	struct settings *s = loaded(REVISION("command = {\"a\", \"${PORT}\", \"$PORT\", "
					     "'${HOME}', \"\\${HOME}\", $PORT}\n"));
	const struct str_list *c = &s->services[0].revisions[0].launch.command;

	(void)state;
	assert_int_equal(c->n, 6);
	assert_string_equal(c->v[1], "${PORT}");
	assert_string_equal(c->v[2], "$PORT");
	assert_string_equal(c->v[3], "${HOME}");
	assert_string_equal(c->v[4], "${HOME}");
	assert_string_equal(c->v[5], "$PORT");
	settings_free(&s);
}

static const struct {
	const char *text;
	int64_t value;
} durations[] = {
	{"0", 0},
	{"0s", 0},
	{"250us", 250000},
	{"500ms", 500000000},
	{"1.5s", 1500000000},
	{"\"2 s\"", 2000000000},
	{"1m", 60000000000},
	{"1min", 60000000000},
	{"1h", 3600000000000},
	{"1d", 86400000000000},
};

static void
units(void **state)
{
	static const char *const sizes[] = {"2048", "2KiB", "2k", "2K", "\"2 KiB\""};
	char text[80];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(durations); i++) {
		struct settings *s;

		snprintf(text, sizeof text, "activator { request_timeout = %s }",
			 durations[i].text);
		s = loaded(text);
		assert_int_equal(s->activator.limits.request_timeout, durations[i].value);
		settings_free(&s);
	}
	for (i = 0; i < ARRAY_LEN(sizes); i++) {
		struct settings *s;

		snprintf(text, sizeof text, "activator { max_head = %s }", sizes[i]);
		s = loaded(text);
		assert_int_equal(s->activator.limits.max_head, 2048);
		settings_free(&s);
	}
}

/* --- the settings in effect --- */

static char *
dumped(const struct settings *s)
{
	struct strbuf b;

	strbuf_init(&b, 0);
	settings_dump(s, &b);
	return strbuf_take(&b);
}

/* Remove comments, which contain lines of the file. */
static void
strip_comments(char *s)
{
	char *to = s;

	for (; *s != '\0'; s++) {
		if (*s == '#')
			s += strcspn(s, "\n");
		if (*s != ' ')
			*to++ = *s;
	}
	*to = '\0';
}

static const char everything[] =
	"log_format = json\n"
	"activator { listen = {\":80\", \"[::1]:81 local\", \"unix:/run/a\"} admin = \"\" max_head = 5000 }\n"
	"autoscaler { ports = 30000-30001 stable_window = 6.5s target_utilization = 33.3% }\n"
	"service \"a\" {\n"
	"    hosts = {\"*.a.example\", \"a_b\", \"[::1]\"} paths = {\"/x\"}\n"
	"    match_header = x match_value = \"a \\\"b\\\\ ü\" sticky = \"cookie:s\"\n"
	"    rule \"no bots\" { action = answer status = 429 body = \"wait\\n${x}\\t\"\n"
	"        fields = {\"retry-after: 3\"} clients = {\"10.0.0.0/8\"} }\n"
	"    traffic \"v1\" { percent = 90 }\n"
	"    traffic \"v2\" { percent = 10 tag = next }\n"
	"    revision \"v1\" { command = {\"a\", \"$PORT\"} probe = /up environment = {\"A=b c\"}\n"
	"        schedule \"day time\" { cron = \"0 8 * * mon-fri\" time_zone = Europe/Berlin } }\n"
	"    revision \"v2\" { addresses = {\"127.0.0.1:9000\", \"a.b:1\"} max_scale_up_rate = 1.1 }\n"
	"}\n";

static void
a_dump_loads_as_the_same(void **state)
{
	struct settings *s = loaded(everything), *again;
	char *one = dumped(s), *two;

	(void)state;
	again = loaded(one);
	two = dumped(again);
	strip_comments(one);
	strip_comments(two);
	assert_string_equal(one, two);
	settings_free(&s);
	settings_free(&again);
	free(one);
	free(two);
}

static void
a_dump_says_where_values_come_from(void **state)
{
	struct settings *s = loaded(everything);
	char *text = dumped(s);

	(void)state;
	assert_non_null(strstr(text, "log_format = json"));
	assert_non_null(strstr(text, "# line 1, at the top level\n"));
	assert_non_null(strstr(text, "# line 3, in autoscaler\n"));
	assert_non_null(strstr(text, "# line 13, in revision\n"));
	assert_non_null(strstr(text, "    # kubeconfig is not set\n"));
	settings_free(&s);
	free(text);
}

static void
what_needs_a_restart(void **state)
{
	struct settings *a = loaded("log_level = info\nactivator { workers = 2 }"),
			*b = loaded("log_level = warn\nsocket = \"x\"\nactivator { workers = 3 }\n"
				    "autoscaler { max_instances = 3 }");
	struct settings_errors errors;

	(void)state;
	assert_int_equal(settings_check_reload(a, a, IN_ACTIVATOR | IN_AUTOSCALER, &errors), 0);
	settings_errors_free(&errors);
	assert_int_equal(settings_check_reload(a, b, IN_AUTOSCALER, &errors), -1);
	assert_int_equal(errors.n, 1);
	assert_string_equal(errors.lines[0], "t.conf:2: socket: needs a restart to change from "
					     "\"/run/activator/autoscaler.sock\" to \"x\"");
	settings_errors_free(&errors);
	assert_int_equal(settings_check_reload(a, b, IN_ACTIVATOR, &errors), -1);
	assert_int_equal(errors.n, 2);
	assert_string_equal(errors.lines[1],
			    "t.conf:3: workers: needs a restart to change from 2 to 3");
	settings_errors_free(&errors);
	settings_free(&a);
	settings_free(&b);
}

/* --- the reference conf file --- */

static char *
file_text(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = xcalloc(1, 1 << 20);

	assert_non_null(f);
	assert_true(fread(text, 1, (1 << 20) - 1, f) > 0);
	fclose(f);
	return text;
}

/* The default as it would be written, or "…" for any example if there is none. */
static void
add_default(const struct key *k, struct strbuf *b)
{
	if (k->fallback == NULL)
		strbuf_adds(b, "…");
	else if (k->type == KEY_STRING || k->type == KEY_ADDRESS || k->type == KEY_PORTS)
		strbuf_addf(b, "\"%s\"", k->fallback);
	else if (value_is_list(k))
		strbuf_addf(b, "{\"%s\"}", k->fallback);
	else
		strbuf_adds(b, k->fallback);
}

/* "# Help\n#key = default # bounds; also in service": without indentation and padding. */
static char *
expected_lines(const struct key *k)
{
	unsigned first = k->where & -k->where;
	struct strbuf b;

	strbuf_init(&b, 0);
	strbuf_addf(&b, "# %c%s\n#%s = ", toupper((unsigned char)k->doc[0]), k->doc + 1, k->name);
	add_default(k, &b);
	strbuf_adds(&b, k->fallback == NULL ? " # no default; " : " # ");
	settings_key_bounds(k, &b);
	if (k->where != first)
		strbuf_addf(&b, "; also %s",
			    conf_where(k->where & ~first, (char[CONF_WHERE_MAX]){0}));
	strbuf_adds(&b, "\n");
	return strbuf_take(&b);
}

/* Is the last line of b a comment, which the next line may continue? */
static bool
ends_in_comment(const struct strbuf *b)
{
	size_t at = b->len - 1;

	if (b->len == 0)
		return false;
	while (at > 0 && b->data[at - 1] != '\n')
		at--;
	return strncmp(b->data + at, "# ", 2) == 0;
}

/* Add a line of the reference as expected_lines() has it: comments of several lines are
 * joined. */
static void
add_plain(struct strbuf *b, char *line)
{
	char *at = line + strspn(line, " "), *equal = strstr(at, " = "), *comment;

	if (strncmp(at, "# ", 2) == 0 && ends_in_comment(b)) {
		b->data[b->len - 1] = ' ';
		strbuf_addf(b, "%s\n", at + 2);
		return;
	}
	comment = strstr(at, " # ");
	if (at[0] != '#' || !isalpha((unsigned char)at[1]) || equal == NULL || comment == NULL) {
		strbuf_addf(b, "%s\n", at);
		return;
	}
	if (strncmp(comment, " # no default", 13) == 0)
		strbuf_addf(b, "%.*s = …", (int)(equal - at), at);
	else
		strbuf_addf(b, "%.*s",
			    (int)(strlen(at) - strlen(comment + strspn(comment, " ")) -
				  (strspn(comment, " "))),
			    at);
	while (b->len > 0 && b->data[b->len - 1] == ' ')
		b->data[--b->len] = '\0';
	strbuf_addf(b, "%s\n", comment);
}

static char *
plain_reference(void)
{
	char *text = file_text(REFERENCE), *line = text;
	struct strbuf b;

	strbuf_init(&b, 0);
	while (*line != '\0') {
		char *end = line + strcspn(line, "\n");
		char *next = *end == '\0' ? end : end + 1;

		*end = '\0';
		add_plain(&b, line);
		line = next;
	}
	free(text);
	return strbuf_take(&b);
}

static size_t
count_of(const char *text, const char *what)
{
	size_t n = 0;

	for (; (text = strstr(text, what)) != NULL; text++)
		n++;
	return n;
}

/* The number of lines that show a key: "#" followed at once by its name. */
static size_t
keys_shown(const char *text)
{
	size_t n = 0;

	for (; *text != '\0'; text += strcspn(text, "\n"), text += *text == '\n') {
		size_t name = strspn(text + 1, "abcdefghijklmnopqrstuvwxyz_0123456789");

		n += text[0] == '#' && name > 0 && strncmp(text + 1 + name, " = ", 3) == 0;
	}
	return n;
}

static void
the_reference_shows_each_key(void **state)
{
	char *text = plain_reference();
	size_t i;

	(void)state;
	for (i = 0; i < settings_keys_n; i++) {
		char *lines = expected_lines(&settings_keys[i]);

		if (count_of(text, lines) != 1)
			print_error(REFERENCE " has not exactly once:\n%s", lines);
		assert_int_equal(count_of(text, lines), 1);
		free(lines);
	}
	assert_int_equal(keys_shown(text), settings_keys_n);
	free(text);
}

/* Does the line contradict another one of the reference? */
static bool
is_alternative(const char *line)
{
	static const char *const keys[] = {"addresses", "deployment", "workload", "port",
					   "status",	"body",	      "fields"};
	size_t i;

	for (i = 0; i < ARRAY_LEN(keys); i++)
		if (strncmp(line, keys[i], strlen(keys[i])) == 0 && line[strlen(keys[i])] == ' ')
			return true;
	return false;
}

/* The reference as it is means the defaults; and without the `#` before keys, sections and
 * braces it has no mistake. */
static void
the_reference_loads(void **state)
{
	struct settings_errors errors;
	struct settings *s = settings_load(REFERENCE, &errors), *defaults = loaded("");
	char *text = file_text(REFERENCE), *at = text, *one, *two;

	(void)state;
	assert_non_null(s);
	one = dumped(s);
	two = dumped(defaults);
	strip_comments(one);
	strip_comments(two);
	assert_string_equal(one, two);
	free(one);
	free(two);
	settings_free(&s);
	settings_free(&defaults);
	for (; *at != '\0'; at += strcspn(at, "\n"), at += *at == '\n') {
		char *mark = at + strspn(at, " ");

		if (mark[0] == '#' && (isalpha((unsigned char)mark[1]) || mark[1] == '}') &&
		    !is_alternative(mark + 1))
			*mark = ' ';
	}
	for (at = text; (at = strstr(at, " percent = 0")) != NULL;)
		memcpy(at, " percent=100", 12);
	s = loaded(text);
	assert_int_equal(s->services_n, 1);
	assert_int_equal(s->services[0].revisions[0].schedules_n, 1);
	settings_free(&s);
	free(text);
}

static void
the_demo_loads(void **state)
{
	struct settings_errors errors;
	struct settings *s = settings_load("conf/demo.conf", &errors);

	(void)state;
	assert_non_null(s);
	assert_true(s->services_n >= 3);
	settings_free(&s);
}

static void
no_key_is_twice_in_a_section(void **state)
{
	size_t i, j;

	(void)state;
	for (i = 0; i < settings_keys_n; i++) {
		assert_true(settings_keys[i].doc[0] != '\0');
		for (j = 0; j < i; j++)
			assert_false((settings_keys[i].where & settings_keys[j].where) != 0 &&
				     strcmp(settings_keys[i].name, settings_keys[j].name) == 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_mistake_is_reported),
		cmocka_unit_test(past_twenty_they_are_counted),
		cmocka_unit_test(files_that_cannot_be_read),
		cmocka_unit_test(an_empty_file_is_all_defaults),
		cmocka_unit_test(keys_are_looked_for_level_by_level),
		cmocka_unit_test(one_revision_needs_no_traffic),
		cmocka_unit_test(target_may_name_a_workload),
		cmocka_unit_test(a_header_tells_services_apart),
		cmocka_unit_test(variables_are_not_replaced),
		cmocka_unit_test(units),
		cmocka_unit_test(a_dump_loads_as_the_same),
		cmocka_unit_test(a_dump_says_where_values_come_from),
		cmocka_unit_test(what_needs_a_restart),
		cmocka_unit_test(the_reference_shows_each_key),
		cmocka_unit_test(the_reference_loads),
		cmocka_unit_test(the_demo_loads),
		cmocka_unit_test(no_key_is_twice_in_a_section),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
