namespace KvStore.Simulation;

/// <summary>The one source of randomness of a run: SplitMix64. The same seed gives the same run on every machine.</summary>
public sealed class SimulatedRandom(ulong seed)
{
    private ulong _state = seed;

    public ulong Next()
    {
        _state += 0x9E3779B97F4A7C15;
        ulong z = _state;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

    /// <summary>In [0, exclusive).</summary>
    public int Below(int exclusive) => (int)(Next() % (ulong)exclusive);

    /// <summary>In [from, to].</summary>
    public long Between(long from, long to) => from + (long)(Next() % (ulong)(to - from + 1));

    public bool Chance(double probability) => Next() < probability * ulong.MaxValue;

    /// <summary>A generator of its own, so that one part of a run can draw more without moving the others.</summary>
    public SimulatedRandom Fork() => new(Next());
}
