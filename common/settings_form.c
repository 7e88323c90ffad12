#include "common/settings_form.h"

#include <string.h>
#include <strings.h>

#include "common/access_format.h"
#include "common/conf_errors.h"
#include "common/cron.h"
#include "common/grpc_health.h"
#include "common/path.h"
#include "common/text.h"
#include "common/zone.h"

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"
#define LABEL LOWER DIGITS "-"
#define TOKEN LOWER UPPER DIGITS "!#$%&'*+-.^_`|~" /* RFC 9110, 5.6.2 */

static bool
consists_of(const char *s, size_t n, const char *set)
{
	return n > 0 && strspn(s, set) >= n;
}

static bool
is_one_of(const char *s, const char *set)
{
	return consists_of(s, strlen(s), set);
}

/* --- names --- */

static bool
is_name(const char *s, size_t n)
{
	return consists_of(s, n, LOWER UPPER DIGITS "-_.") && n <= 63 && s[0] != '-' && s[0] != '.';
}

bool
form_is_name(const char *s)
{
	return is_name(s, strlen(s));
}

bool
form_is_revision(const char *s)
{
	size_t n = strcspn(s, "/");

	return s[n] == '/' && is_name(s, n) && form_is_name(s + n + 1);
}

bool
form_is_account(const char *s)
{
	return is_one_of(s, LOWER UPPER DIGITS "-_.@/") && strlen(s) <= 63;
}

static bool
is_label(const char *s, size_t n, const char *set)
{
	return n >= 1 && n <= 63 && consists_of(s, n, set) && s[0] != '-' && s[n - 1] != '-';
}

static bool
is_dns_label(const char *s)
{
	return is_label(s, strlen(s), LABEL);
}

/* Labels with dots between them. */
static bool
is_domain(const char *s, const char *set)
{
	if (strlen(s) > 253)
		return false;
	for (;;) {
		size_t n = strcspn(s, ".");

		if (!is_label(s, n, set))
			return false;
		if (s[n] == '\0')
			return true;
		s += n + 1;
	}
}

/* The mode of a file, in octal, with or without a leading zero. */
static bool
is_mode(const char *s)
{
	size_t n = strlen(s);

	return (n == 3 || (n == 4 && s[0] == '0')) && strspn(s, "01234567") == n;
}

static bool
is_ipv6(const char *s)
{
	size_t n = strlen(s);
	struct addr a;
	char ip[ADDR_TEXT];

	if (n < 4 || n >= sizeof ip || s[0] != '[' || s[n - 1] != ']')
		return false;
	memcpy(ip, s + 1, n - 2);
	ip[n - 2] = '\0';
	return addr_set(&a, ip, 0, NULL) == 0;
}

/* `_` is no letter of a host name, but container platforms use it in theirs. */
static bool
is_host(const char *s)
{
	if (strcmp(s, "*") == 0 || is_ipv6(s))
		return true;
	return is_domain(s + (strncmp(s, "*.", 2) == 0 ? 2 : 0), LABEL UPPER "_");
}

static bool
is_server_name(const char *s)
{
	return is_domain(s, LABEL UPPER "_");
}

/* "NAMESPACE=HOST"; `*` is any namespace, {namespace} in the host is the namespace's name. */
static bool
is_allowance(const char *s)
{
	static const char mark[] = "{namespace}";
	size_t n = strcspn(s, "=");
	char host[512];
	size_t len = 0;

	if (s[n] != '=' || !((n == 1 && s[0] == '*') || is_label(s, n, LABEL)))
		return false;
	for (s += n + 1; *s != '\0' && len < sizeof host - 1; len++)
		if (strncmp(s, mark, sizeof mark - 1) == 0) {
			host[len] = 'x';
			s += sizeof mark - 1;
		} else {
			host[len] = *s++;
		}
	host[len] = '\0';
	return *s == '\0' && is_host(host);
}

/* --- requests and responses --- */

bool
form_is_target(const char *s)
{
	const unsigned char *at;

	for (at = (const unsigned char *)s; *at > ' ' && *at < 0x7f && *at != '#'; at++)
		;
	return s[0] == '/' && *at == '\0' && strlen(s) <= 1024;
}

bool
form_is_health_check(const char *s)
{
	const unsigned char *at;

	if (strncmp(s, "grpc", 4) != 0 || (s[4] != ':' && s[4] != '\0'))
		return false;
	for (at = (const unsigned char *)s + 4; *at > ' ' && *at < 0x7f; at++)
		;
	return *at == '\0' && strcmp(s, "grpc:") != 0 && strncmp(s, "grpc://:", 8) != 0 &&
	       strlen(s) <= 5 + GRPC_HEALTH_NAME_MOST;
}

#define PATH_EXPECTED                                                                              \
	"a path like \"/api\", which stands for all below it, too; without \"*\", "                \
	"\"..\", \"//\", \";\" and encoded slashes"

static bool
is_path(const char *s)
{
	return form_is_target(s) && strchr(s, '?') == NULL && path_is_prefix(s);
}

static bool
is_token(const char *s)
{
	return is_one_of(s, TOKEN);
}

/* Methods are case-sensitive (RFC 9110 9.1).  "get" could be one, but is never meant. */
static bool
is_method(const char *s)
{
	static const char *const standard[] = {"GET",	  "HEAD",    "POST",  "PUT",  "DELETE",
					       "CONNECT", "OPTIONS", "TRACE", "PATCH"};
	size_t i;

	for (i = 0; i < ARRAY_LEN(standard); i++)
		if (strcasecmp(s, standard[i]) == 0)
			return strcmp(s, standard[i]) == 0;
	return is_token(s);
}

static bool
is_liveness(const char *s)
{
	return strcmp(s, "tcp") == 0 || form_is_health_check(s) || form_is_target(s);
}

static bool
is_sticky(const char *s)
{
	return (strncmp(s, "cookie:", 7) == 0 || strncmp(s, "header:", 7) == 0) && is_token(s + 7);
}

static bool
is_value(const char *s)
{
	const unsigned char *at;

	for (at = (const unsigned char *)s; *at == '\t' || (*at >= ' ' && *at != 0x7f); at++)
		;
	return *at == '\0';
}

/* "name: value", but none of the fields that the activator sets itself. */
static bool
is_field(const char *s)
{
	static const char *const ours[] = {
		"connection", "content-length",	   "date",   "keep-alive", "te",
		"trailer",    "transfer-encoding", "upgrade"};
	size_t n = strcspn(s, ":"), i;

	for (i = 0; i < ARRAY_LEN(ours); i++)
		if (strlen(ours[i]) == n && strncasecmp(s, ours[i], n) == 0)
			return false;
	return s[n] == ':' && consists_of(s, n, TOKEN) && is_value(s + n + 1);
}

/* --- how instances are started --- */

static bool
is_any(const char *s)
{
	return s[0] != '\0';
}

static bool
is_socket(const char *s)
{
	return s[0] != '\0' && strlen(s) < 108; /* sun_path */
}

static bool
is_variable(const char *s)
{
	size_t n = strcspn(s, "=");

	return n > 0 && s[n] == '=' && strncmp(s, "PORT=", 5) != 0;
}

/* n parts with slashes between them, none of which is empty. */
static bool
has_parts(const char *s, unsigned n)
{
	for (;;) {
		size_t len = strcspn(s, "/");

		if (len == 0 || n-- == 0)
			return false;
		if (s[len] == '\0')
			return n == 0;
		s += len + 1;
	}
}

static bool
is_deployment(const char *s)
{
	return has_parts(s, 2) && is_one_of(s, LABEL "./");
}

/* The core API group has no name, as in v1/ReplicationController/namespace/name. */
static bool
is_workload(const char *s)
{
	return (has_parts(s, 5) || has_parts(s, 4)) && is_one_of(s, LABEL UPPER "./");
}

static bool
is_port(const char *s)
{
	size_t n = strlen(s);
	uint32_t number;

	if (strspn(s, DIGITS) < n)
		return n <= 15 && is_dns_label(s) && strpbrk(s, LOWER) != NULL;
	return text_number(s, n, UINT16_MAX, &number) && number >= 1;
}

static bool
is_selector(const char *s)
{
	return is_one_of(s, LOWER UPPER DIGITS "-_./=!,() ");
}

/* --- schedules --- */

static bool
is_cron(const char *s)
{
	struct cron c;

	return cron_parse(&c, s, NULL) == 0;
}

/* A file below /usr/share/zoneinfo that can be read as a time zone. */
static bool
is_time_zone(const char *s)
{
	struct zone *z;

	if (!is_one_of(s, LOWER UPPER DIGITS "-_+/") || s[0] == '/' || strlen(s) > 64)
		return false;
	if ((z = zone_open(s, NULL)) == NULL)
		return false;
	zone_free(&z);
	return true;
}

/* --- the access log --- */

static bool
is_log_file(const char *s)
{
	return strncmp(s, "unix:", 5) == 0 ? is_socket(s + 5)
					   : s[0] != '\0' && strstr(s, "://") == NULL;
}

static bool
is_collector(const char *s)
{
	static const char plain[] = "http://", tls[] = "https://";
	char authority[ADDR_NAME_TEXT], name[ADDR_NAME_TEXT];
	struct addr addr;
	uint16_t port;
	size_t n;

	if (strncmp(s, plain, sizeof plain - 1) == 0)
		s += sizeof plain - 1;
	else if (strncmp(s, tls, sizeof tls - 1) == 0)
		s += sizeof tls - 1;
	else
		return false;
	n = strcspn(s, "/");
	if (n == 0 || n >= sizeof authority || s[0] == ':' ||
	    (s[n] == '/' && !form_is_target(s + n)))
		return false;
	memcpy(authority, s, n);
	authority[n] = '\0';
	if (addr_parse(&addr, authority, NULL) == 0)
		return addr_port(&addr) != 0;
	return addr_parse_name(authority, name, &port, NULL) == 0;
}

static int
check_access_format(const char *text, struct err *e)
{
	struct access_format *f = access_format_new(text, e);
	int rc = f == NULL ? -1 : 0;

	access_format_free(&f);
	return rc;
}

/* --- by key --- */

static const struct form {
	const char *key;
	enum key_group group;
	bool (*is_right)(const char *);
	const char *expected;
} forms[] = {
	{"socket", GROUP_TOP, is_socket, "a path of 1 to 107 bytes"},
	{"state_dir", GROUP_TOP, is_any, "a path"},
	{"listen_mode", GROUP_ACTIVATOR, is_mode, "an octal mode like \"0660\""},
	{"tls_ciphers", GROUP_ACTIVATOR, is_any, "the names of ciphers"},
	{"tls_groups", GROUP_ACTIVATOR, is_any, "the names of groups"},
	{"trace_collector", GROUP_ACTIVATOR, is_collector,
	 "\"http://HOST:PORT\", \"https://HOST:PORT\", or with a path behind"},
	{"trace_collector_ca", GROUP_ACTIVATOR, is_any, "a file"},
	{"access_log_file", GROUP_ACTIVATOR, is_log_file,
	 "\"stdout\", a path, or \"unix:/path\" with 1 to 107 bytes behind \"unix:\""},
	{"upstream_ca", GROUP_LIMITS, is_any, "a file"},
	{"upstream_name", GROUP_LIMITS, is_server_name, "a host name without a port"},
	{"upstream_certificate", GROUP_LIMITS, is_any, "a file"},
	{"upstream_key", GROUP_LIMITS, is_any, "a file"},
	{"chain", GROUP_CERTIFICATE, is_any, "a file"},
	{"key", GROUP_CERTIFICATE, is_any, "a file"},
	{"client_ca", GROUP_CERTIFICATE, is_any, "a file"},
	{"kubeconfig", GROUP_AUTOSCALER, is_any, "a path"},
	{"lease_name", GROUP_AUTOSCALER, is_deployment, "\"namespace/name\""},
	{"namespaces", GROUP_AUTOSCALER, is_dns_label, "a namespace"},
	{"namespace_selector", GROUP_AUTOSCALER, is_selector, "labels like \"team=web\""},
	{"allow_hosts", GROUP_AUTOSCALER, is_allowance,
	 "\"NAMESPACE=HOST\", such as \"shop=*.shop.example.com\""},
	{"knative_address", GROUP_AUTOSCALER, is_server_name, "a host name without a port"},
	{"hosts", GROUP_SERVICE, is_host, "a host name without a port, \"*.NAME\" or \"*\""},
	{"paths", GROUP_SERVICE, is_path, PATH_EXPECTED},
	{"match_header", GROUP_SERVICE, is_token, "the name of a header field"},
	{"match_value", GROUP_SERVICE, is_value, "the value of a header field"},
	{"liveness", GROUP_LAUNCH, is_liveness,
	 "\"tcp\", \"grpc\", \"grpc:NAME\" or a path like \"/healthz\""},
	{"sticky", GROUP_SERVICE, is_sticky, "\"cookie:NAME\" or \"header:NAME\""},
	{"waiting_page", GROUP_SERVICE, is_any, "\"default\" or a file"},
	{"owner", GROUP_SERVICE, form_is_account, "1 to 63 letters, digits and \"-_.@/\""},
	{"cost_center", GROUP_SERVICE, form_is_account, "1 to 63 letters, digits and \"-_.@/\""},
	{"tag", GROUP_TRAFFIC, is_dns_label, "a DNS label (a-z, 0-9, \"-\")"},
	{"methods", GROUP_RULE, is_method, "a method in upper case like \"GET\""},
	{"paths", GROUP_RULE, is_path, PATH_EXPECTED},
	{"header", GROUP_RULE, is_token, "the name of a header field"},
	{"contains", GROUP_RULE, is_any, "a part of the header field's value"},
	{"fields", GROUP_RULE, is_field,
	 "\"name: value\" of a field that neither frames the response nor ends the connection"},
	{"command", GROUP_LAUNCH, is_any, "an argument that is not empty"},
	{"directory", GROUP_LAUNCH, is_any, "a path"},
	{"environment", GROUP_LAUNCH, is_variable, "\"NAME=value\" with a name other than PORT"},
	{"user", GROUP_LAUNCH, is_any, "a user's name"},
	{"deployment", GROUP_LAUNCH, is_deployment, "\"namespace/name\""},
	{"workload", GROUP_LAUNCH, is_workload, "\"group/version/Kind/namespace/name\""},
	{"port", GROUP_LAUNCH, is_port, "a port's number or name"},
	{"cron", GROUP_SCHEDULE, is_cron,
	 "\"minute hour day month weekday\", like \"0 8 * * 1-5\""},
	{"time_zone", GROUP_SCHEDULE, is_time_zone,
	 "a file below /usr/share/zoneinfo like \"Europe/Berlin\""},
};

int
form_check(const struct key *k, const char *text, struct err *e)
{
	size_t i;

	if (k->group == GROUP_LIMITS && strcmp(k->name, "access_log_format") == 0)
		return check_access_format(text, e);
	for (i = 0; i < ARRAY_LEN(forms); i++)
		if (forms[i].group == k->group && strcmp(forms[i].key, k->name) == 0 &&
		    !forms[i].is_right(text))
			return err_set(e, 0, "expected %s, got %s", forms[i].expected,
				       CONF_QUOTED(text));
	return 0;
}
