namespace KvStore;

/// <summary>
/// What is switched on: a fault, and perhaps a tuning, which is no fault but brings rare states nearer. Per thread: a run stays
/// on one thread, and runs of different tests go on beside each other.
/// </summary>
internal static class Mutant
{
    [ThreadStatic]
    private static string? _fault;

    [ThreadStatic]
    private static string? _tuning;

    public static bool Is(string name) => _fault == name || _tuning == name;

    /// <summary>Runs something with a fault, a tuning, both or neither.</summary>
    public static T With<T>(string? fault, string? tuning, Func<T> run)
    {
        (_fault, _tuning) = (fault, tuning);
        try
        {
            return run();
        }
        finally
        {
            (_fault, _tuning) = (null, null);
        }
    }
}
