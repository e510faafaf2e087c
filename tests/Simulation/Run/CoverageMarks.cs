namespace KvStore.Simulation;

/// <summary>Counts of rare events, so that a run can say what it never reached: a fault that cannot happen proves nothing.</summary>
public sealed class CoverageMarks
{
    private readonly SortedDictionary<string, long> _counts = new(StringComparer.Ordinal);

    public IReadOnlyDictionary<string, long> Counts => _counts;

    public void Hit(string mark, long times = 1) => _counts[mark] = _counts.GetValueOrDefault(mark) + times;

    public void Add(CoverageMarks other)
    {
        foreach ((string mark, long times) in other._counts)
        {
            Hit(mark, times);
        }
    }
}
