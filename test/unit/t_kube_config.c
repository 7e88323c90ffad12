/* kube_config: what is read from a kubeconfig, and what is refused. */
#include "test/unit/unit.h"

#include "autoscaler/kube/kube_config.h"

#define HEAD                                                                                       \
	"apiVersion: v1\nkind: Config\ncurrent-context: c\n"                                       \
	"contexts:\n- context: {cluster: k, user: u}\n  name: c\n"
#define CLUSTER "clusters:\n- cluster:\n    server: https://10.0.0.1:6443/\n  name: k\n"
#define EXEC(version, rest)                                                                        \
	"    exec: {apiVersion: client.authentication.k8s.io/" version ", " rest "}\n"
#define USER "users:\n- name: u\n  user:\n"

static const char whole[] = HEAD
	"clusters:\n"
	"- name: other\n  cluster: {server: \"https://wrong\"}\n"
	"- name: k\n  cluster:\n    server: https://10.0.0.1:6443/k8s/\n"
	"    certificate-authority-data: LS0tLS1CRUdJTg==\n"
	"    tls-server-name: kube.example.com\n    proxy-url: http://proxy:3128\n" USER
	"    client-certificate-data: |\n      Y2Vy\n      dA==\n    client-key-data: a2V5\n"
	"    token: abc\n";

static void
all_fields_are_read(void **state)
{
	struct kube_config c;
	struct err e = {.text = ""};

	(void)state;
	if (kube_config_parse(&c, "f", whole, strlen(whole), &e) < 0)
		fail_msg("%s", e.text);
	assert_string_equal(c.server, "https://10.0.0.1:6443/k8s");
	assert_string_equal(c.ca_pem, "-----BEGIN");
	assert_string_equal(c.server_name, "kube.example.com");
	assert_string_equal(c.proxy, "http://proxy:3128");
	assert_string_equal(c.cert_pem, "cert");
	assert_string_equal(c.key_pem, "key");
	assert_string_equal(c.token, "abc");
	assert_null(c.ca_file);
	kube_config_fini(&c);
}

static void
a_credentials_plugin_is_read(void **state)
{
	static const char text[] = HEAD
		"clusters:\n- name: k\n  cluster:\n    server: https://10.0.0.1:6443\n"
		"    certificate-authority-data: LS0tLS1CRUdJTg==\n    extensions:\n"
		"    - {name: other, extension: {x: 1}}\n"
		"    - name: client.authentication.k8s.io/exec\n"
		"      extension: {audience: \"8\", n: 8, is: true, none: null, l: [a]}\n" USER
		"    exec:\n      apiVersion: client.authentication.k8s.io/v1\n"
		"      command: bin/plugin\n      args: [get, \"\", 5]\n"
		"      env: [{name: A, value: b=c}]\n      installHint: brew install it\n"
		"      provideClusterInfo: true\n      interactiveMode: IfAvailable\n";
	struct kube_config c;
	struct err e = {.text = ""};

	(void)state;
	if (kube_config_parse(&c, "/etc/k/config", text, strlen(text), &e) < 0)
		fail_msg("%s", e.text);
	assert_non_null(c.exec);
	assert_string_equal(c.exec->command, "/etc/k/bin/plugin");
	assert_int_equal(c.exec->argv.n, 4);
	assert_string_equal(c.exec->argv.v[0], "/etc/k/bin/plugin");
	assert_string_equal(c.exec->argv.v[2], "");
	assert_string_equal(c.exec->argv.v[3], "5");
	assert_string_equal(c.exec->env.v[0], "A=b=c");
	assert_string_equal(c.exec->hint, "brew install it");
	assert_string_equal(
		c.exec->info,
		"{\"kind\":\"ExecCredential\",\"apiVersion\":\"client.authentication.k8s."
		"io/v1\",\"spec\":{\"cluster\":{\"server\":\"https://10.0.0.1:6443\","
		"\"certificate-authority-data\":\"LS0tLS1CRUdJTg==\",\"config\":{"
		"\"audience\":\"8\",\"n\":8,\"is\":true,\"none\":null,\"l\":[\"a\"]}},"
		"\"interactive\":false}}");
	kube_config_fini(&c);
}

/* Aliases of YAML that form a ring. */
static void
an_extension_without_an_end_is_cut(void **state)
{
	static const char text[] = HEAD
		"clusters:\n- name: k\n  cluster:\n    server: https://x\n    extensions:\n"
		"    - name: client.authentication.k8s.io/exec\n      extension: &a {b: *a}\n" USER
			EXEC("v1beta1", "command: a, provideClusterInfo: true");
	struct kube_config c;
	struct err e = {.text = ""};

	(void)state;
	if (kube_config_parse(&c, "f", text, strlen(text), &e) == 0) /* libyaml may refuse it */
		assert_true(strlen(c.exec->info) < 1000);
	kube_config_fini(&c);
}

static void
credentials_of_the_file_precede_a_plugin(void **state)
{
	static const char text[] = HEAD CLUSTER USER
		"    token: abc\n" EXEC("v1beta1", "command: a");
	struct kube_config c;
	struct err e;

	(void)state;
	assert_int_equal(kube_config_parse(&c, "f", text, strlen(text), &e), 0);
	assert_null(c.exec);
	assert_string_equal(c.token, "abc");
	kube_config_fini(&c);
}

static void
mistakes_are_reported(void **state)
{
	static const struct {
		const char *text, *expected;
	} v[] = {
		{"", "no current-context"},
		{"[", "f:"},
		{"a: b: c", "f:1: "},
		{"current-context: x\n", "no context named \"x\" in contexts"},
		{HEAD, "no cluster named \"k\" in clusters"},
		{HEAD CLUSTER, "no user named \"u\" in users"},
		{HEAD "clusters: [{name: k, cluster: {server: \"http://x\"}}]",
		 "expected https://"},
		{HEAD "clusters: [{name: k, cluster: {}}]", "the cluster has no server"},
		{HEAD "clusters: [{name: k, cluster: {server: \"https://x\", "
		      "insecure-skip-tls-verify: true}}]",
		 "the server is always verified"},
		{HEAD "clusters: [{name: k, cluster: {server: \"https://x\", "
		      "certificate-authority-data: \"!\"}}]",
		 "certificate-authority-data: expected base64"},
		{HEAD "clusters: [{name: k, cluster: {server: \"https://x\", "
		      "certificate-authority: /nowhere/ca}}]",
		 "certificate-authority: cannot read /nowhere/ca"},
		{HEAD CLUSTER USER "    exec: {command: aws}\n",
		 "user: exec: apiVersion: expected client.authentication.k8s.io/v1 or "
		 "client.authentication.k8s.io/v1beta1, got none"},
		{HEAD CLUSTER USER
		 "    exec: {apiVersion: client.authentication.k8s.io/v1alpha1}\n",
		 "k8s.io/v1beta1, got client.authentication.k8s.io/v1alpha1"},
		{HEAD CLUSTER USER EXEC("v1beta1", ""), "user: exec: expected a command"},
		{HEAD CLUSTER USER EXEC("v1", "command: a"),
		 "interactiveMode: expected Never or IfAvailable, got none"},
		{HEAD CLUSTER USER EXEC("v1", "command: a, interactiveMode: Always"),
		 "got Always (there is no terminal)"},
		{HEAD CLUSTER USER EXEC("v1beta1", "command: a, args: [[b]]"),
		 "exec: args: expected texts"},
		{HEAD CLUSTER USER EXEC("v1beta1", "command: a, env: [{value: b}]"),
		 "exec: env: expected a name and a value"},
		{HEAD CLUSTER USER "    auth-provider: {name: gcp}\n", "user: auth-provider: "},
		{HEAD CLUSTER USER "    username: a\n", "user: username: "},
		{HEAD CLUSTER USER "    as: root\n", "user: as: "},
		{HEAD CLUSTER USER "    client-certificate-data: Y2VydA==\n",
		 "client-certificate and client-key go together"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(v); i++) {
		struct kube_config c;
		struct err e = {.text = ""};

		assert_int_equal(kube_config_parse(&c, "f", v[i].text, strlen(v[i].text), &e), -1);
		if (strstr(e.text, v[i].expected) == NULL)
			fail_msg("expected %s, got %s", v[i].expected, e.text);
		kube_config_fini(&c);
	}
}

/* A folder with these files; the caller's. */
static char *
make_folder(const char *token, const char *ca)
{
	char *dir = xstrdup("/tmp/t_kube_config.XXXXXX"), *path;
	const char *const files[][2] = {{"token", token}, {"ca.crt", ca}};
	size_t i;

	assert_non_null(mkdtemp(dir));
	for (i = 0; i < ARRAY_LEN(files); i++) {
		FILE *f;

		if (files[i][1] == NULL)
			continue;
		path = xasprintf("%s/%s", dir, files[i][0]);
		f = fopen(path, "w");
		assert_true(f != NULL && fputs(files[i][1], f) >= 0 && fclose(f) == 0);
		free(path);
	}
	return dir;
}

static void
remove_folder(char *dir)
{
	static const char *const files[] = {"/token", "/ca.crt", ""};
	size_t i;

	for (i = 0; i < ARRAY_LEN(files); i++) {
		char *path = xasprintf("%s%s", dir, files[i]);

		remove(path);
		free(path);
	}
	free(dir);
}

static void
the_service_account_of_a_pod(void **state)
{
	static const struct {
		const char *host, *port, *token, *ca, *server, *mistake;
	} v[] = {
		{"10.96.0.1", "443", "abc\n", "ca", "https://10.96.0.1:443", NULL},
		{"fd00::1", NULL, "abc", "ca", "https://[fd00::1]:443", NULL},
		{"10.96.0.1", "443", NULL, "ca", NULL, "cannot read"},
		{"10.96.0.1", "443", "  \n", "ca", NULL, "expected one token"},
		{"10.96.0.1", "443", "abc\ndef", "ca", NULL, "expected one token"},
		{"10.96.0.1", "443", "abc", NULL, NULL, "cannot read"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(v); i++) {
		char *dir = make_folder(v[i].token, v[i].ca);
		struct kube_config c;
		struct err e = {.text = ""};
		int rc = kube_config_account(&c, v[i].host, v[i].port, dir, &e);

		assert_int_equal(rc, v[i].mistake == NULL ? 0 : -1);
		if (v[i].mistake == NULL)
			assert_string_equal(c.server, v[i].server);
		else
			assert_non_null(strstr(e.text, v[i].mistake));
		kube_config_fini(&c);
		remove_folder(dir);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_fields_are_read),
		cmocka_unit_test(a_credentials_plugin_is_read),
		cmocka_unit_test(an_extension_without_an_end_is_cut),
		cmocka_unit_test(credentials_of_the_file_precede_a_plugin),
		cmocka_unit_test(mistakes_are_reported),
		cmocka_unit_test(the_service_account_of_a_pod),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
