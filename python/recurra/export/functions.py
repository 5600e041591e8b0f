"""The functions that formulas may call besides as C: those of csrc/kernels/functions, in float32.

What activations.py says of their constants and bits is true of these too. Square roots and sines need <math.h>.
"""

from __future__ import annotations

from .activations import ACTIVATIONS, EXP, Function, decimal, polynomial

ATANH = ("0x1.55557ap-1", "0x1.995ed4p-2", "0x1.31e0d8p-2")
SINE = ("-0x1.555544p-3", "0x1.1106b4p-7", "-0x1.99122ap-13")
COSINE = ("0x1.55554ap-5", "-0x1.6c0c08p-10", "0x1.99d83ap-16")
ERF_NEAR = (
    "0x1.06eba8p-3", "-0x1.812732p-2", "0x1.ce2888p-4", "-0x1.b774a4p-6", "0x1.4d5f72p-8", "-0x1.570098p-11",
)  # fmt: skip
ERF_FAR = (
    "0x1.dcfc12p-15", "0x1.20d664p+0", "0x1.45b468p-1", "0x1.ad931ap-4", "-0x1.73e076p-6", "0x1.9ed6b6p-9",
    "-0x1.b5b702p-13",
)  # fmt: skip

_FUNCTIONS: dict[str, Function] = {
    "reduced": Function(
        f"""
/* e^-x = 2^n (1 - r - square curve), n + shift in the exponent of power. */
typedef struct {{ float power, r, square, curve; }} %_reduced;

static inline %_reduced %_reduced_of(float x, float shift)
{{
  const float rounder = 0x1.8p+23 + shift;
  const float rounded = %%_MULTIPLY_ADD(x, -0x1.715476p+0, rounder);
  const float n = rounded - rounder;
  const float r = %%_MULTIPLY_ADD(n, 0x1.7f7d1cp-20, %%_MULTIPLY_ADD(n, 0x1.62e4p-1, x));
  const float square = r * r;
  %_reduced e;
  e.power = %_of_bits(%_bits(rounded) << 23);
  e.r = r;
  e.square = square;
  e.curve = {polynomial("r", "square", EXP)};
  return e;
}}
""",
        ("bits", "of_bits"),
    ),
    "exp": Function(
        """
/* e^x; results below the least normal number are 0. */
static inline float %_exp(float x)
{
  const %_reduced e = %_reduced_of(-x, 0.0f);
  const float rest = 1.0f - %%_MULTIPLY_ADD(e.square, e.curve, e.r);
  if (x < -0x1.5d589ep+6) return 0.0f;
  if (x < 0x1.62e430p+6) return %_of_bits(%_bits(rest) + %_bits(e.power));
  return x + %_of_bits(0x7f800000u);
}
""",
        ("reduced",),
    ),
    "expm1": Function(
        """
/* e^x - 1. */
static inline float %_expm1(float x)
{
  const float other = -x, within = other < -89.0f ? -89.0f : other > 30.0f ? 30.0f : other;
  const %_reduced e = %_reduced_of(within, 126.0f);
  const float most = e.power - 0.5f, curved = e.square * e.curve;
  const float half = %%_MULTIPLY_ADD(-e.power, curved, %%_MULTIPLY_ADD(-e.power, e.r, most));
  return x < 0x1.0p-30 && x > -0x1.0p-30 ? x : half + half;
}
""",
        ("reduced",),
    ),
    "logarithm": Function(
        f"""
/* x = 2^power (1 + fraction), and inverse = 2^-power. */
typedef struct {{ float power, fraction, inverse; }} %_split;

static inline %_split %_split_of(float x)
{{
  const uint32_t biased = %_bits(x) - 0x3f3504f3u + 0x3f800000u;
  %_split s;
  s.power = %_of_bits((biased >> 23) | 0x4b000000u) - (0x1.0p+23 + 127.0f);
  s.fraction = %_of_bits((biased & 0x7fffffu) + 0x3f3504f3u) - 1.0f;
  s.inverse = %_of_bits(2u * 0x3f800000u - (biased & 0xff800000u));
  return s;
}}

/* power ln 2 + log(1 + fraction); of a zero, of less, of infinity and NaN what the logarithm of whole is. */
static inline float %_logarithm(float whole, float power, float fraction)
{{
  const float s = fraction / (2.0f + fraction), square = s * s, fourth = square * square;
  const float curve = {polynomial("square", "fourth", ATANH)};
  const float low = power * 0x1.7f7d1cp-20;
  const float correction = %%_MULTIPLY_ADD(-s, %%_MULTIPLY_ADD(-square, curve, fraction), low);
  const float rest = fraction + correction;
  if (whole < 0x1.0p-126) return %_of_bits(whole < 0.0f ? 0x7fc00000u : 0xff800000u);
  return whole < %_of_bits(0x7f800000u) ? %%_MULTIPLY_ADD(power, 0x1.62e4p-1, rest) : whole;
}}
""",
        ("bits", "of_bits"),
    ),
    "log": Function(
        """
static inline float %_log(float x)
{
  const %_split s = %_split_of(x);
  return %_logarithm(x, s.power, s.fraction);
}
""",
        ("logarithm",),
    ),
    "log1p": Function(
        """
/* log(1 + x): what 1 + x loses by rounding goes into the fraction. */
static inline float %_log1p(float x)
{
  const float sum = 1.0f + x, back = sum - 1.0f, lost = x - back;
  const %_split s = %_split_of(sum);
  const float whole = sum < 0x1.0p+30 ? %%_MULTIPLY_ADD(lost, s.inverse, s.fraction) : s.fraction;
  return %_of_bits(%_bits(%_logarithm(sum, s.power, whole)) | (%_bits(x) & 0x80000000u));
}
""",
        ("logarithm",),
    ),
    "turned": Function(
        f"""
/* size = quarters pi/2 + angle, by fused multiply-adds whatever the machine: with others angle would be worthless. */
typedef struct {{ float angle; uint32_t quarters; }} %_turned;

static inline %_turned %_turned_of(float size)
{{
  const float rounded = %%_MULTIPLY_ADD(size, 0x1.45f306p-1, 0x1.8p+23), n = rounded - 0x1.8p+23;
  float angle = fmaf(-n, 0x1.921fb6p+0, size);
  %_turned t;
  angle = fmaf(-n, -0x1.777a5cp-25, angle);
  angle = fmaf(-n, -0x1.ee59dap-50, angle);
  t.angle = angle > 0.8f ? 0.8f : angle < -0.8f ? -0.8f : angle;
  t.quarters = %_bits(rounded);
  return t;
}}

/* The sine of quarters pi/2 + angle. */
static inline float %_sine_of(float angle, uint32_t quarters)
{{
  const float square = angle * angle, fourth = square * square, cube = angle * square;
  const float sine = %%_MULTIPLY_ADD(cube, {polynomial("square", "fourth", SINE)}, angle);
  const float most = %%_MULTIPLY_ADD(square, -0.5f, 1.0f);
  const float cosine = %%_MULTIPLY_ADD(fourth, {polynomial("square", "fourth", COSINE)}, most);
  return %_of_bits(%_bits(quarters & 1u ? cosine : sine) ^ ((quarters & 2u) << 30));
}}
""",
        ("bits", "of_bits"),
        math=True,
    ),
    "sin": Function(
        """
static inline float %_sin(float x)
{
  const %_turned t = %_turned_of(%_of_bits(%_bits(x) & 0x7fffffffu));
  return %_of_bits(%_bits(%_sine_of(t.angle, t.quarters)) ^ (%_bits(x) & 0x80000000u));
}
""",
        ("turned",),
    ),
    "cos": Function(
        """
static inline float %_cos(float x)
{
  const %_turned t = %_turned_of(%_of_bits(%_bits(x) & 0x7fffffffu));
  return %_sine_of(t.angle, (t.quarters & 3u) + 1u);
}
""",
        ("turned",),
    ),
    "erf": Function(
        f"""
/* x + x p(x^2) near zero, else 1 - e^-q(|x|). */
static inline float %_erf(float x)
{{
  const float size = %_of_bits(%_bits(x) & 0x7fffffffu), square = size * size, fourth = square * square;
  const float within = size > 4.0f ? 4.0f : size, second = within * within;
  const %_exponential e = %_exponential_of({polynomial("within", "second", ERF_FAR)}, 0.0f);
  const float less = 1.0f - e.scale;
  const float inner = %%_MULTIPLY_ADD(size, {polynomial("square", "fourth", ERF_NEAR)}, size);
  const float result = size < 0.8f ? inner : %%_MULTIPLY_ADD(e.scale, e.fall, less);
  return %_of_bits(%_bits(result) | (%_bits(x) & 0x80000000u));
}}
""",
        ("exponential",),
    ),
    "sqrt": Function(
        """
static inline float %_sqrt(float x)
{
  return sqrtf(x);
}
""",
        math=True,
    ),
    "absolute": Function(
        """
static inline float %_absolute(float x)
{
  return %_of_bits(%_bits(x) & 0x7fffffffu);
}
""",
        ("bits", "of_bits"),
    ),
    "minimum": Function("""
/* NaN if either is. */
static inline float %_minimum(float a, float b)
{
  return a <= b || a != a ? a : b;
}
"""),
    "maximum": Function("""
/* NaN if either is. */
static inline float %_maximum(float a, float b)
{
  return a >= b || a != a ? a : b;
}
"""),
    "normalise": Function(
        """
/* (x - E[x]) / sqrt(Var[x] + eps) weight + bias */
static inline void %_normalise(const float *x, int count, float eps, const float *weight, const float *bias, float *y)
{
  float mean = 0.0f, variance = 0.0f, factor;
  int i;
  for (i = 0; i < count; ++i) mean += x[i];
  mean /= (float)count;
  for (i = 0; i < count; ++i) {
    const float apart = x[i] - mean;
    variance = %%_MULTIPLY_ADD(apart, apart, variance);
  }
  factor = 1.0f / sqrtf(variance / (float)count + eps);
  for (i = 0; i < count; ++i) {
    const float centred = (x[i] - mean) * factor;
    y[i] = %%_MULTIPLY_ADD(centred, weight[i], bias[i]);
  }
}
""",
        math=True,
    ),
    "mean": Function("""
/* In 16 chains, which are added up in pairs. */
static inline float %_mean(const float *x, int count)
{
  float chains[16] = {0.0f};
  int i, half;
  for (i = 0; i < count; ++i) chains[i % 16] += x[i];
  for (half = 8; half > 0; half /= 2) {
    for (i = 0; i < half; ++i) chains[i] += chains[i + half];
  }
  return chains[0] / (float)count;
}
"""),
}
FUNCTIONS = {
    name: function._replace(text=decimal(function.text)) for name, function in (ACTIVATIONS | _FUNCTIONS).items()
}
