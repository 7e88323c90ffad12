#include "common/settings_value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/conf_errors.h"
#include "common/settings_form.h"
#include "common/settings_units.h"
#include "common/strbuf.h"
#include "common/text.h"

/* The value of a text; which member holds it depends on the type of the key. */
struct parsed {
	double number;
	bool yes;
	int choice;
	uint32_t first, last;
};

/* --- other texts --- */

static int
parse_bool(const char *text, bool *out)
{
	static const char *const yes[] = {"yes", "true", "on"}, *const no[] = {"no", "false",
									       "off"};
	size_t i;

	for (i = 0; i < ARRAY_LEN(yes); i++)
		if (strcasecmp(text, yes[i]) == 0 || strcasecmp(text, no[i]) == 0) {
			*out = strcasecmp(text, yes[i]) == 0;
			return 0;
		}
	return -1;
}

/* The index of text in "a|b|c", or -1. */
static int
parse_enum(const char *text, const char *enums)
{
	size_t n = strlen(text);
	int i = 0;

	while (enums != NULL) {
		size_t len = strcspn(enums, "|");

		if (len == n && strncmp(enums, text, n) == 0)
			return i;
		enums = enums[len] == '|' ? enums + len + 1 : NULL;
		i++;
	}
	return -1;
}

static bool
is_port(const char *text, size_t n, uint32_t *out)
{
	return text_number(text, n, UINT16_MAX, out) && *out >= 1;
}

static int
parse_ports(const char *text, struct parsed *p)
{
	const char *dash = strchr(text, '-');

	if (dash == NULL || !is_port(text, (size_t)(dash - text), &p->first) ||
	    !is_port(dash + 1, strlen(dash + 1), &p->last))
		return -1;
	return p->first <= p->last ? 0 : -1;
}

static int
parse_probe(const char *text, struct parsed *p)
{
	p->choice = strcmp(text, "auto") == 0	     ? PROBE_AUTO
		    : strcmp(text, "tcp") == 0	     ? PROBE_TCP
		    : strcmp(text, "readiness") == 0 ? PROBE_READINESS
		    : form_is_health_check(text)     ? PROBE_GRPC
						     : PROBE_HTTP;
	return p->choice != PROBE_HTTP || form_is_target(text) ? 0 : -1;
}

/* --- what was expected --- */

static int
expected_enum(const char *enums, const char *text, struct err *e)
{
	char choices[160];
	size_t n = 0;

	while (*enums != '\0' && n < sizeof choices) {
		size_t len = strcspn(enums, "|");
		bool is_last = enums[len] == '\0';

		n += (size_t)snprintf(choices + n, sizeof choices - n, "%s\"%.*s\"",
				      n == 0	? ""
				      : is_last ? " or "
						: ", ",
				      (int)len, enums);
		enums += len + !is_last;
	}
	return err_set(e, 0, "expected %s, got %s", choices, CONF_QUOTED(text));
}

static int
expected(const struct key *k, const char *text, struct err *e)
{
	static const char *const what[] = {
		[KEY_BOOL] = "yes or no",
		[KEY_UINT] = "a whole number",
		[KEY_NUMBER] = "a number",
		[KEY_DURATION] = "a duration like \"500ms\"",
		[KEY_SIZE] = "a size like \"64KiB\"",
		[KEY_SIZE32] = "a size like \"64KiB\"",
		[KEY_PERCENT] = "a percentage like \"70\"",
		[KEY_PERCENT32] = "a whole percentage like \"70\"",
		[KEY_ADDRESS] = "an address like \"127.0.0.1:8080\" or \"[::1]:8080\"",
		[KEY_ENDPOINTS] = "an address like \"127.0.0.1:8080\", \"name.example:8080\" or "
				  "\"unix:/path\"",
		[KEY_NETWORKS] = "a network like \"10.0.0.0/8\"",
		[KEY_PROBE] =
			"\"auto\", \"tcp\", \"readiness\", \"grpc\", \"grpc:NAME\" or a path like "
			"\"/healthz\"",
		[KEY_PORTS] = "ports like \"20000-29999\"",
	};

	if (k->type == KEY_ENUM)
		return expected_enum(k->enums, text, e);
	return err_set(e, 0, "expected %s, got %s", what[k->type], CONF_QUOTED(text));
}

static int
check_bounds(const struct key *k, double v, const char *text, struct err *e)
{
	struct strbuf b;

	if (k->min >= k->max || (v >= k->min && v <= k->max))
		return 0;
	strbuf_init(&b, 0);
	settings_key_bounds(k, &b);
	err_set(e, 0, "expected %s, got %s", strbuf_str(&b), CONF_QUOTED(text));
	strbuf_fini(&b);
	return -1;
}

/* Where an instance listens: an address with a port that is not 0, or a name. */
static int
parse_endpoint(const char *text)
{
	char name[ADDR_NAME_TEXT];
	struct addr addr;
	uint16_t port;

	if (addr_parse_any(&addr, text, NULL) == 0)
		return addr_is_unix(&addr) || addr_port(&addr) != 0 ? 0 : -1;
	return addr_parse_name(text, name, &port, NULL);
}

static int
parse(const struct key *k, const char *text, struct parsed *p, struct err *e)
{
	struct listen_spec listen;
	struct addr_net net;
	struct addr addr;
	int rc = 0;

	switch (k->type) {
	case KEY_BOOL:
		rc = parse_bool(text, &p->yes);
		break;
	case KEY_ENUM:
		p->choice = parse_enum(text, k->enums);
		rc = p->choice;
		break;
	case KEY_STRING:
	case KEY_LIST:
		return form_check(k, text, e);
	case KEY_ADDRESS: /* "" turns it off */
		rc = text[0] == '\0' ? 0 : addr_parse(&addr, text, NULL);
		break;
	case KEY_LISTEN:
		return listen_spec_parse(&listen, text, e);
	case KEY_ENDPOINTS:
		rc = parse_endpoint(text);
		break;
	case KEY_NETWORKS:
		rc = addr_net_parse(&net, text, NULL);
		break;
	case KEY_PROBE:
		rc = parse_probe(text, p);
		break;
	case KEY_PORTS:
		rc = parse_ports(text, p);
		break;
	default:
		if (units_parse(k->type, text, &p->number) == 0)
			return check_bounds(k, p->number, text, e);
		rc = -1;
	}
	return rc < 0 ? expected(k, text, e) : 0;
}

int
value_check(const struct key *k, const char *text, struct err *e)
{
	struct parsed p = {0};

	return parse(k, text, &p, e);
}

/* --- into structs --- */

bool
value_is_list(const struct key *k)
{
	return k->type == KEY_LIST || k->type == KEY_LISTEN || k->type == KEY_ENDPOINTS ||
	       k->type == KEY_NETWORKS;
}

static void
store(const struct key *k, void *base, const struct parsed *p, const char *text)
{
	void *at = (char *)base + k->offset;
	struct limits *limits = base;
	struct autoscaler_conf *autoscaler = base;

	switch (k->type) {
	case KEY_BOOL:
		*(bool *)at = p->yes;
		break;
	case KEY_ENUM:
		*(int *)at = p->choice;
		break;
	case KEY_DURATION:
		*(int64_t *)at = (int64_t)p->number;
		break;
	case KEY_SIZE:
		*(uint64_t *)at = (uint64_t)p->number;
		break;
	case KEY_NUMBER:
	case KEY_PERCENT:
		*(double *)at = p->number;
		break;
	case KEY_STRING:
	case KEY_ADDRESS:
		text_replace(at, text);
		break;
	case KEY_PROBE:
		limits->probe = p->choice;
		text_replace(&limits->probe_text,
			     p->choice == PROBE_HTTP || p->choice == PROBE_GRPC ? text : NULL);
		break;
	case KEY_PORTS:
		autoscaler->port_first = p->first;
		autoscaler->port_last = p->last;
		break;
	default:
		*(uint32_t *)at = (uint32_t)p->number;
	}
}

void
value_set(const struct key *k, void *base, char *const *texts, size_t n)
{
	struct parsed p = {0};

	if (value_is_list(k)) {
		str_list_set((void *)((char *)base + k->offset), texts, n);
		return;
	}
	CHECK(n == 1 && parse(k, texts[0], &p, NULL) == 0);
	store(k, base, &p, texts[0]);
}

void
value_defaults(enum key_group group, void *base)
{
	size_t i;

	for (i = 0; i < settings_keys_n; i++) {
		const struct key *k = &settings_keys[i];
		char *text;

		if (k->group != group || k->fallback == NULL)
			continue;
		text = xstrdup(k->fallback);
		value_set(k, base, &text, 1);
		free(text);
	}
}

void
value_fini_group(enum key_group group, void *base)
{
	size_t i;

	for (i = 0; i < settings_keys_n; i++) {
		const struct key *k = &settings_keys[i];
		void *at = (char *)base + k->offset;

		if (k->group != group)
			continue;
		if (value_is_list(k))
			str_list_fini(at);
		else if (k->type == KEY_STRING || k->type == KEY_ADDRESS)
			text_replace(at, NULL);
		else if (k->type == KEY_PROBE)
			text_replace(&((struct limits *)base)->probe_text, NULL);
	}
}

static size_t
size_of(enum key_type type)
{
	switch (type) {
	case KEY_BOOL:
		return sizeof(bool);
	case KEY_ENUM:
		return sizeof(int);
	case KEY_DURATION:
		return sizeof(int64_t);
	case KEY_SIZE:
		return sizeof(uint64_t);
	case KEY_NUMBER:
	case KEY_PERCENT:
		return sizeof(double);
	default:
		return sizeof(uint32_t);
	}
}

static void
copy(const struct key *k, void *to, const void *from)
{
	void *at = (char *)to + k->offset;
	const void *source = (const char *)from + k->offset;
	const struct str_list *list = source;

	if (value_is_list(k)) {
		str_list_set(at, list->v, list->n);
	} else if (k->type == KEY_STRING || k->type == KEY_ADDRESS) {
		text_replace(at, *(char *const *)source);
	} else if (k->type == KEY_PROBE) {
		((struct limits *)to)->probe = ((const struct limits *)from)->probe;
		text_replace(&((struct limits *)to)->probe_text,
			     ((const struct limits *)from)->probe_text);
	} else {
		CHECK(k->type != KEY_PORTS); /* two members; no group with it is copied */
		memcpy(at, source, size_of(k->type));
	}
}

void
value_copy_group(enum key_group group, void *to, const void *from)
{
	size_t i;

	for (i = 0; i < settings_keys_n; i++)
		if (settings_keys[i].group == group)
			copy(&settings_keys[i], to, from);
}

/* --- into texts --- */

void
value_format_string(const char *text, struct strbuf *b)
{
	strbuf_adds(b, "\"");
	for (; *text != '\0'; text++) {
		if (*text == '"' || *text == '\\')
			strbuf_addf(b, "\\%c", *text);
		else if (*text == '\n')
			strbuf_adds(b, "\\n");
		else if ((unsigned char)*text < 0x20 || *text == 0x7f)
			strbuf_addf(b, "\\x%02x", (unsigned char)*text);
		else
			strbuf_add(b, text, 1);
	}
	strbuf_adds(b, "\"");
}

static void
format_list(const struct str_list *l, struct strbuf *b)
{
	size_t i;

	strbuf_adds(b, "{");
	for (i = 0; i < l->n; i++) {
		strbuf_adds(b, i == 0 ? "" : ", ");
		value_format_string(l->v[i], b);
	}
	strbuf_adds(b, "}");
}

static void
format_enum(const char *enums, int choice, struct strbuf *b)
{
	for (; choice > 0; choice--)
		enums += strcspn(enums, "|") + 1;
	strbuf_addf(b, "%.*s", (int)strcspn(enums, "|"), enums);
}

static double
number_at(const struct key *k, const void *at)
{
	switch (k->type) {
	case KEY_DURATION:
		return (double)*(const int64_t *)at;
	case KEY_SIZE:
		return (double)*(const uint64_t *)at;
	case KEY_NUMBER:
	case KEY_PERCENT:
		return *(const double *)at;
	default:
		return *(const uint32_t *)at;
	}
}

bool
value_format(const struct key *k, const void *base, struct strbuf *b)
{
	const void *at = (const char *)base + k->offset;
	const struct limits *limits = base;
	const struct autoscaler_conf *autoscaler = base;
	const char *text;

	if (value_is_list(k)) {
		if (((const struct str_list *)at)->n == 0)
			return false;
		format_list(at, b);
		return true;
	}
	switch (k->type) {
	case KEY_BOOL:
		strbuf_adds(b, *(const bool *)at ? "yes" : "no");
		break;
	case KEY_ENUM:
		format_enum(k->enums, *(const int *)at, b);
		break;
	case KEY_STRING:
	case KEY_ADDRESS:
		text = *(char *const *)at;
		if (text == NULL)
			return false;
		value_format_string(text, b);
		break;
	case KEY_PROBE:
		value_format_string(limits->probe == PROBE_AUTO	       ? "auto"
				    : limits->probe == PROBE_TCP       ? "tcp"
				    : limits->probe == PROBE_READINESS ? "readiness"
								       : limits->probe_text,
				    b);
		break;
	case KEY_PORTS:
		strbuf_addf(b, "\"%u-%u\"", autoscaler->port_first, autoscaler->port_last);
		break;
	default:
		units_format(k->type, number_at(k, at), b);
	}
	return true;
}
