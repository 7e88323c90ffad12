#include "common/settings_keys.h"

#include <string.h>

#include "common/settings.h"
#include "common/settings_units.h"
#include "common/strbuf.h"

#define BASE_TOP struct settings
#define BASE_ACTIVATOR struct activator_conf
#define BASE_AUTOSCALER struct autoscaler_conf
#define BASE_SERVICE struct service_conf
#define BASE_LIMITS struct limits
#define BASE_SCALING struct scaling
#define BASE_LAUNCH struct launch
#define BASE_TRAFFIC struct traffic_conf
#define BASE_RULE struct rule_conf
#define BASE_SCHEDULE struct schedule
#define BASE_CERTIFICATE struct certificate_conf
#define BASE_OWNER struct owner_conf

#define ROW(name, type, where, group, member, fallback, min, max, enums, doc, restart)             \
	{#name,		KEY_##type, where,                                                         \
	 fallback,	min,	    max,                                                           \
	 enums,		doc,	    offsetof(BASE_##group, member),                                \
	 GROUP_##group, restart},

const struct key settings_keys[] = {
#define KEY(name, type, where, group, member, fallback, min, max, enums, doc)                      \
	ROW(name, type, where, group, member, fallback, min, max, enums, doc, false)
#define KEY_RESTART(name, type, where, group, member, fallback, min, max, enums, doc)              \
	ROW(name, type, where, group, member, fallback, min, max, enums, doc, true)
#include "common/keys.def"
#undef KEY
};
const size_t settings_keys_n = ARRAY_LEN(settings_keys);

const struct key *
settings_key_find(const char *name, unsigned where)
{
	size_t i;

	for (i = 0; i < settings_keys_n; i++)
		if ((settings_keys[i].where & where) != 0 &&
		    strcmp(settings_keys[i].name, name) == 0)
			return &settings_keys[i];
	return NULL;
}

/* What a key of a type without bounds accepts. */
static const char *
kind_of(enum key_type type)
{
	switch (type) {
	case KEY_BOOL:
		return "yes or no";
	case KEY_STRING:
		return "text";
	case KEY_LIST:
		return "texts";
	case KEY_ADDRESS:
		return "address";
	case KEY_LISTEN:
		return "addresses, each with or without words";
	case KEY_ENDPOINTS:
		return "addresses";
	case KEY_NETWORKS:
		return "networks";
	case KEY_PROBE:
		return "auto, tcp, readiness, grpc, grpc:NAME or a path";
	case KEY_PORTS:
		return "within 1-65535";
	default:
		return "";
	}
}

static void
add_choices(const char *enums, struct strbuf *b)
{
	for (; *enums != '\0'; enums++)
		if (*enums != '|')
			strbuf_add(b, enums, 1);
		else
			strbuf_adds(b, strchr(enums + 1, '|') == NULL ? " or " : ", ");
}

void
settings_key_bounds(const struct key *k, struct strbuf *b)
{
	strbuf_adds(b, kind_of(k->type));
	if (k->type == KEY_ENUM)
		add_choices(k->enums, b);
	if (k->min >= k->max)
		return;
	units_format(k->type, k->min, b);
	strbuf_adds(b, " to ");
	units_format(k->type, k->max, b);
}
