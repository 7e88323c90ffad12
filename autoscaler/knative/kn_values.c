#include "autoscaler/knative/kn_values.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"

#define DIGITS "0123456789"

int
kn_value_bool(const char *text, bool *out)
{
	static const char *const words[] = {"1", "t", "T", "true",  "True",  "TRUE",
					    "0", "f", "F", "false", "False", "FALSE"};
	size_t i;

	for (i = 0; i < ARRAY_LEN(words); i++)
		if (strcmp(text, words[i]) == 0) {
			*out = i < ARRAY_LEN(words) / 2;
			return 0;
		}
	return -1;
}

int
kn_value_int(const char *text, int64_t min, int64_t max, int64_t *out)
{
	const char *digits = text + (text[0] == '-' || text[0] == '+');
	long long n;

	if (digits[0] == '\0' || digits[strspn(digits, DIGITS)] != '\0')
		return -1;
	errno = 0;
	n = strtoll(text, NULL, 10);
	if (errno != 0 || n < min || n > max)
		return -1;
	*out = n;
	return 0;
}

int
kn_value_number(const char *text, double *out)
{
	double n;
	char *end;

	if (text[0] == '\0' || text[strspn(text, DIGITS "+-.eE")] != '\0')
		return -1;
	n = strtod(text, &end);
	if (*end != '\0' || !isfinite(n))
		return -1;
	*out = n;
	return 0;
}

/* The length of the unit that text begins with; 0: none. */
static size_t
unit_of(const char *text, double *ns)
{
	static const struct {
		const char *name;
		double ns;
	} units[] = {{"ns", 1},	  {"us", 1e3}, {"\302\265s", 1e3}, {"\316\274s", 1e3},
		     {"ms", 1e6}, {"s", 1e9},  {"m", 60e9},	   {"h", 3600e9}};
	size_t i, n = strcspn(text, DIGITS ".");

	for (i = 0; i < ARRAY_LEN(units); i++)
		if (text_is(text, n, units[i].name)) {
			*ns = units[i].ns;
			return n;
		}
	return 0;
}

int
kn_value_duration(const char *text, int64_t *ns)
{
	bool is_negative = text[0] == '-';
	const char *at = text + (text[0] == '-' || text[0] == '+');
	double sum = 0, unit;
	size_t n, unit_n;
	char *end;

	if (strcmp(at, "0") == 0) {
		*ns = 0;
		return 0;
	}
	if (*at == '\0')
		return -1;
	for (; *at != '\0'; at += n + unit_n) {
		n = strspn(at, DIGITS);
		n += at[n] == '.' ? 1 + strspn(at + n + 1, DIGITS) : 0;
		unit_n = unit_of(at + n, &unit);
		if (unit_n == 0 || n == 0 || (n == 1 && at[0] == '.'))
			return -1;
		sum += strtod(at, &end) * unit;
	}
	if (sum > 9.2e18)
		return -1;
	*ns = llround(is_negative ? -sum : sum);
	return 0;
}

/* What a suffix of a quantity multiplies with, and divides by; false: it is none. */
static bool
suffix_of(const char *text, double *factor, double *divisor)
{
	static const struct {
		const char *name;
		double factor, divisor; /* exact both, where a fraction would not be */
	} suffixes[] = {{"", 1, 1},	   {"n", 1, 1e9},     {"u", 1, 1e6},	 {"m", 1, 1e3},
			{"k", 1e3, 1},	   {"M", 1e6, 1},     {"G", 1e9, 1},	 {"T", 1e12, 1},
			{"P", 1e15, 1},	   {"E", 1e18, 1},    {"Ki", 0x1p10, 1}, {"Mi", 0x1p20, 1},
			{"Gi", 0x1p30, 1}, {"Ti", 0x1p40, 1}, {"Pi", 0x1p50, 1}, {"Ei", 0x1p60, 1}};
	int64_t exponent;
	size_t i;

	for (i = 0; i < ARRAY_LEN(suffixes); i++)
		if (strcmp(text, suffixes[i].name) == 0) {
			*factor = suffixes[i].factor;
			*divisor = suffixes[i].divisor;
			return true;
		}
	if ((*text != 'e' && *text != 'E') || kn_value_int(text + 1, -1000, 1000, &exponent) == -1)
		return false;
	*factor = exponent > 0 ? pow(10, (double)exponent) : 1;
	*divisor = exponent < 0 ? pow(10, (double)-exponent) : 1;
	return true;
}

int
kn_value_quantity(const char *text, double *out)
{
	const char *at = text + (text[0] == '-' || text[0] == '+');
	size_t whole = strspn(at, DIGITS), fraction;
	double factor, divisor;
	char *number;

	at += whole;
	fraction = *at == '.' ? strspn(at + 1, DIGITS) : 0;
	at += *at == '.' ? 1 + fraction : 0;
	if (whole + fraction == 0 || !suffix_of(at, &factor, &divisor))
		return -1;
	number = xstrndup(text, (size_t)(at - text)); /* "1e3" is one number to strtod() */
	*out = strtod(number, NULL) * factor / divisor;
	free(number);
	return 0;
}
