namespace KvStore.Raft;

/// <summary>SplitMix64: enough randomness for timeouts, and the same sequence for the same seed on every machine and runtime.</summary>
internal struct SeededRandom(ulong seed)
{
    private ulong _state = seed;

    /// <summary>A number in [low, highExclusive).</summary>
    public int Next(int low, int highExclusive) => low + (int)(NextBits() % (ulong)(highExclusive - low));

    private ulong NextBits()
    {
        _state += 0x9E3779B97F4A7C15;
        ulong mixed = _state;
        mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9;
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB;
        return mixed ^ (mixed >> 31);
    }
}
