namespace KvStore;

/// <summary>
/// Which fault is switched on. Per thread: a run stays on one thread, and runs of different tests go on beside each other.
/// </summary>
internal static class Mutant
{
    [ThreadStatic]
    private static string? _on;

    public static bool Is(string name) => _on == name;

    /// <summary>Runs something with a fault switched on, or with none.</summary>
    public static T With<T>(string? name, Func<T> run)
    {
        _on = name;
        try
        {
            return run();
        }
        finally
        {
            _on = null;
        }
    }
}
