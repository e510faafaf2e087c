namespace KvStore.LoadTests.Load;

/// <summary>
/// Keys as unequal as in YCSB: the k-th most popular one is asked for in proportion to 1 / k^0.99 (Gray et al., "Quickly
/// generating billion-record synthetic databases", SIGMOD 1994). Popular keys are spread over the key space, so that they
/// do not all sit in one group.
/// </summary>
internal sealed class ZipfKeys
{
    private const double Theta = 0.99;

    // Any prime above the largest key count is coprime with every count: multiplying by it permutes the keys.
    private const long Spread = 2_147_483_647;

    private readonly int _count;
    private readonly double _zeta;
    private readonly double _alpha = 1 / (1 - Theta);
    private readonly double _eta;

    public ZipfKeys(int count)
    {
        _count = count;
        double zetaOfTwo = Zeta(Math.Min(2, count));
        _zeta = Zeta(count);
        _eta = count <= 2 ? 0 : (1 - Math.Pow(2.0 / count, 1 - Theta)) / (1 - (zetaOfTwo / _zeta));
    }

    public int Next(Random random) => (int)(NextRank(random) * Spread % _count);

    /// <summary>0 is the most popular.</summary>
    public long NextRank(Random random)
    {
        double u = random.NextDouble();
        double scaled = u * _zeta;
        if (scaled < 1)
        {
            return 0;
        }

        if (scaled < 1 + Math.Pow(0.5, Theta))
        {
            return 1;
        }

        return Math.Min(_count - 1, (long)(_count * Math.Pow((_eta * u) - _eta + 1, _alpha)));
    }

    private static double Zeta(int count)
    {
        double sum = 0;
        for (int k = 1; k <= count; k++)
        {
            sum += 1 / Math.Pow(k, Theta);
        }

        return sum;
    }
}
