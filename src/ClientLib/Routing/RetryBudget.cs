namespace KvStore.Client.Routing;

/// <summary>
/// What may be asked beyond what callers ask for: a share of their calls, saved up to a limit. A cluster that cannot keep up is not asked
/// twice for everything.
/// </summary>
internal sealed class RetryBudget(double ratio, int reserve)
{
    // In thousandths of a retry, so that one number can be changed without a lock.
    private const long Whole = 1000;
    private readonly long _most = reserve * Whole;
    private readonly long _perCall = (long)(ratio * Whole);
    private long _left = reserve * Whole;

    public void OnCall()
    {
        if (Interlocked.Add(ref _left, _perCall) > _most)
        {
            Interlocked.Add(ref _left, -_perCall);
        }
    }

    public bool TryTake()
    {
        if (Interlocked.Add(ref _left, -Whole) >= 0)
        {
            return true;
        }

        Interlocked.Add(ref _left, Whole);
        return false;
    }
}
