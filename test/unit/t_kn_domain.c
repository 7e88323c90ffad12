/* kn_domain: hosts by templates, and the domain of a Route. */
#include "test/unit/unit.h"

#include <jansson.h>

#include "autoscaler/knative/kn_config.h"
#include "autoscaler/knative/kn_domain.h"
#include "common/strbuf.h"

static struct kn_config *
config_of(const char *domain, const char *network)
{
	struct kn_config *c = kn_config_new(NULL);
	json_t *data = json_pack("{s:s}", domain, "");

	assert_true(kn_config_apply(c, "config-domain", data));
	json_decref(data);
	if (network != NULL) {
		data = json_loads(network, 0, NULL);
		assert_non_null(data);
		assert_true(kn_config_apply(c, "config-network", data));
		json_decref(data);
	}
	return c;
}

static const char metadata[] =
	"{\"namespace\":\"shop\",\"labels\":{\"team\":\"web\",\"a.b/c\":\"l\"},\"annotations\":{"
	"\"sub\":\"x\",\"d.e/f\":\"y\"}}";

static void
hosts_by_templates(void **state)
{
	static const struct {
		const char *template, *host, *why;
	} rows[] = {
		{"{{.Name}}.{{.Namespace}}.{{.Domain}}", "web.shop.example.com", NULL},
		{"{{ .Name }}-{{.Namespace -}} .\t{{- .Domain}}", "web-shop.example.com", NULL},
		{"{{.Name}}{{- \"\" }}", NULL, "cannot be evaluated"},
		{"{{.Name}}.{{.Annotations.sub}}.{{.Domain}}", "web.x.example.com", NULL},
		{"{{.Name}}.{{index .Annotations \"d.e/f\"}}.{{.Domain}}", "web.y.example.com",
		 NULL},
		{"{{.Name}}.{{index .Labels `a.b/c` }}.{{.Labels.team}}.{{.Domain}}",
		 "web.l.web.example.com", NULL},
		{"{{.Name}}.{{.Annotations.nothing}}.{{.Domain}}", NULL, "invalid domain name"},
		{"{{.Name}}.{{.Tag}}.{{.Domain}}", NULL, "{{.Tag}} cannot be evaluated"},
		{"{{if .Name}}a{{end}}.{{.Domain}}", NULL, "{{if .Name}} cannot be evaluated"},
		{"{{.Name}}.{{index .Other \"a\"}}", NULL, "cannot be evaluated"},
		{"{{.Name}}.{{index .Labels \"a}}", NULL, "cannot be evaluated"},
		{"{{.Name}}.{{", NULL, "expected \"}}\""},
		{"{{}}", NULL, "cannot be evaluated"},
		{"{{-}}", NULL, "cannot be evaluated"},
		{"{{.Name}}_x.{{.Domain}}", NULL, "invalid domain name \"web_x.example.com\""},
	};
	json_t *of = json_loads(metadata, 0, NULL);
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct kn_config *c = config_of("example.com", NULL);
		struct strbuf why;
		char *host;

		free(c->network.domain_template);
		c->network.domain_template = xstrdup(rows[i].template);
		strbuf_init(&why, 0);
		host = kn_domain_host(c, of, "web", false, &why);
		if (rows[i].host != NULL)
			assert_string_equal(host == NULL ? strbuf_str(&why) : host, rows[i].host);
		else
			assert_null(host);
		if (rows[i].why != NULL)
			assert_non_null(strstr(strbuf_str(&why), rows[i].why));
		free(host);
		strbuf_fini(&why);
		kn_config_free(&c);
	}
	json_decref(of);
}

static void
names_of_tags(void **state)
{
	struct kn_config *c = config_of("example.com", NULL);
	char longest[65], *name;
	struct strbuf why;

	(void)state;
	strbuf_init(&why, 0);
	name = kn_domain_name(c, "web", "next", &why);
	assert_string_equal(name, "next-web");
	free(name);
	name = kn_domain_name(c, "web", "", &why);
	assert_string_equal(name, "web");
	free(name);
	assert_null(kn_domain_name(c, "web.other.svc.cluster", "", &why));
	strbuf_clear(&why);
	memset(longest, 'a', 60);
	longest[60] = '\0';
	assert_null(kn_domain_name(c, "web", longest, &why));
	assert_non_null(strstr(strbuf_str(&why), "expected at most 63 characters"));
	strbuf_clear(&why);
	free(c->network.tag_template);
	c->network.tag_template = xstrdup("{{.Tag}}.{{.Name}}");
	assert_null(kn_domain_name(c, "web", "next", &why));
	strbuf_fini(&why);
	kn_config_free(&c);
}

static void
what_is_local(void **state)
{
	struct kn_config *stock = kn_config_new(NULL), *c = config_of("example.com", NULL);
	json_t *local = json_pack("{s:s}", "networking.knative.dev/visibility", "cluster-local");
	json_t *of = json_loads(metadata, 0, NULL);
	char *text;
	struct strbuf why;

	(void)state;
	assert_true(kn_domain_is_local(stock, NULL)); /* without config-domain */
	assert_false(kn_domain_is_local(c, NULL));
	assert_true(kn_domain_is_local(c, local));
	strbuf_init(&why, 0);
	text = kn_domain_host(c, of, "web", true, &why);
	assert_string_equal(text, "web.shop.svc.cluster.local");
	free(text);
	strbuf_fini(&why);
	text = kn_domain_url(c, "a.b", false);
	assert_string_equal(kn_domain_url_host(text), "a.b");
	free(text);
	json_decref(of);
	json_decref(local);
	kn_config_free(&stock);
	kn_config_free(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosts_by_templates),
		cmocka_unit_test(names_of_tags),
		cmocka_unit_test(what_is_local),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
