namespace KvStore.Storage;

/// <summary>
/// The two tests a lock-free read stands on, as constants of a type. The readers take the rules as a type argument: for a
/// struct the compiler makes code of its own in which they are constants, so the product's reads contain neither a branch nor
/// a field for them. The torture test reads with rules that leave one test out and must then see wrong data; otherwise it
/// could not see a missing one.
/// </summary>
internal interface IReadRules
{
    /// <summary>Load the header again after copying, and start over when the slot was reused meanwhile.</summary>
    static abstract bool RecheckGeneration { get; }

    /// <summary>Pass over versions that are newer than the moment read.</summary>
    static abstract bool TestVisibility { get; }
}

internal readonly struct SoundReads : IReadRules
{
    public static bool RecheckGeneration => true;
    public static bool TestVisibility => true;
}
