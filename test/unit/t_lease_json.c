/* autoscaler/replicas/lease_json: a Lease as JSON, there and back. */
#include "test/unit/unit.h"

#include "autoscaler/kube/kube_fields.h"
#include "autoscaler/replicas/lease_json.h"
#include "common/clk.h"
#include "common/jget.h"

#define WALL (INT64_C(1767225600) * CLK_S + 1234567 * CLK_US) /* 2026-01-01 00:00:01.234567 */

static void
body_is(const struct lease_request *r, const char *expected)
{
	char *body = lease_json_body(r, "a", 5 * CLK_S, WALL);

	assert_string_equal(body, expected);
	free(body);
}

static void
bodies(void **state)
{
	(void)state;
	body_is(&(struct lease_request){.verb = LEASE_CREATE,
					.version = "",
					.holder = "me",
					.transitions = 1,
					.is_taken = true},
		"{\"apiVersion\":\"coordination.k8s.io/v1\",\"kind\":\"Lease\",\"metadata\":"
		"{\"name\":\"a\"},\"spec\":{\"holderIdentity\":\"me\","
		"\"leaseDurationSeconds\":5,\"renewTime\":\"2026-01-01T00:00:01.234567Z\","
		"\"leaseTransitions\":1,\"acquireTime\":\"2026-01-01T00:00:01.234567Z\"}}");
	body_is(
		&(struct lease_request){
			.verb = LEASE_UPDATE, .version = "77", .holder = "me", .transitions = 4},
		"{\"metadata\":{\"resourceVersion\":\"77\"},\"spec\":{\"holderIdentity\":\"me\","
		"\"leaseDurationSeconds\":5,\"renewTime\":\"2026-01-01T00:00:01.234567Z\","
		"\"leaseTransitions\":4}}");
	/* Released: the duration has to be more than 0. */
	body_is(&(struct lease_request){.verb = LEASE_UPDATE,
					.version = "78",
					.holder = "",
					.transitions = 4,
					.is_taken = true},
		"{\"metadata\":{\"resourceVersion\":\"78\"},\"spec\":{\"holderIdentity\":\"\","
		"\"leaseDurationSeconds\":1,\"renewTime\":\"2026-01-01T00:00:01.234567Z\","
		"\"leaseTransitions\":4}}");
}

static void
read_is(const char *text, const char *version, const char *holder, uint64_t transitions,
	int64_t duration_ns)
{
	struct lease_object o;
	struct err e;
	struct json_t *doc = kube_json_parse(text, strlen(text), &e);

	assert_non_null(doc);
	lease_json_read(doc, &o);
	assert_string_equal(o.version, version);
	assert_string_equal(o.holder, holder);
	assert_int_equal(o.transitions, transitions);
	assert_int_equal(o.duration_ns, duration_ns);
	jget_close(&doc);
}

static void
reads(void **state)
{
	(void)state;
	read_is("{\"metadata\":{\"resourceVersion\":\"9\"},\"spec\":{\"holderIdentity\":\"b\","
		"\"leaseDurationSeconds\":15,\"leaseTransitions\":3}}",
		"9", "b", 3, 15 * CLK_S);
	read_is("{\"metadata\":{\"resourceVersion\":\"9\"}}", "9", "", 0, 0);
	read_is("{}", "", "", 0, 0);
	/* Whatever people write into it. */
	read_is("{\"metadata\":[],\"spec\":{\"holderIdentity\":4,\"leaseDurationSeconds\":-1,"
		"\"leaseTransitions\":-3}}",
		"", "", 0, 0);
	read_is("{\"metadata\":{\"resourceVersion\":\"9\"},\"spec\":{\"holderIdentity\":\"b\","
		"\"leaseDurationSeconds\":2147483647}}",
		"9", "b", 0, 3600 * CLK_S);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(bodies), cmocka_unit_test(reads)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
