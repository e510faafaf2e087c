namespace KvStore.LoadTests.Endurance;

/// <param name="Seconds">Since the first one.</param>
/// <param name="ResidentBytes">Of the process.</param>
/// <param name="Handles">Open files and sockets.</param>
internal readonly record struct ResourceSample(double Seconds, long ResidentBytes, int Handles);

/// <summary>
/// What one node's process took over a run, and where that goes: a line of least squares through the second half, when everything has been
/// compiled and every cache has its size. A leak is a slope; a garbage collector's saw is none.
/// </summary>
internal sealed record NodeSeries(string Node, IReadOnlyList<ResourceSample> Samples)
{
    /// <summary>Fewer in the second half say nothing.</summary>
    public const int LeastSamples = 10;

    /// <summary>Of memory along the line, over the second half, as a share of its mean.</summary>
    public const double MostMemoryGrowth = 0.05;

    /// <summary>Of handles along the line, over the second half: connections come and go.</summary>
    public const double MostHandleGrowth = 5;

    private IReadOnlyList<ResourceSample> SecondHalf => [.. Samples.Skip(Samples.Count / 2)];

    private double HalfSeconds => SecondHalf is { Count: > 1 } half ? half[^1].Seconds - half[0].Seconds : 0;

    public bool SaysSomething => SecondHalf.Count >= LeastSamples;

    public double MeanResidentBytes => SecondHalf.Average(sample => sample.ResidentBytes);

    public double BytesPerHour => 3600 * Slope(SecondHalf, sample => sample.ResidentBytes);

    public double HandlesPerHour => 3600 * Slope(SecondHalf, sample => sample.Handles);

    public double MemoryGrowth => BytesPerHour / 3600 * HalfSeconds / MeanResidentBytes;

    public double HandleGrowth => HandlesPerHour / 3600 * HalfSeconds;

    public IEnumerable<string> Failures(double mostMemoryGrowth)
    {
        if (SaysSomething && MemoryGrowth > mostMemoryGrowth)
        {
            yield return $"{Node}: memory grew by {MemoryGrowth:P1} over the second half ({BytesPerHour / 1e6:N1} MB an hour); {mostMemoryGrowth:P0} are allowed";
        }

        if (SaysSomething && HandleGrowth > MostHandleGrowth)
        {
            yield return $"{Node}: {HandleGrowth:N0} handles more over the second half ({HandlesPerHour:N0} an hour); {MostHandleGrowth:N0} are allowed";
        }
    }

    private static double Slope(IReadOnlyList<ResourceSample> samples, Func<ResourceSample, double> value)
    {
        if (samples.Count < 2)
        {
            return 0;
        }

        double meanTime = samples.Average(sample => sample.Seconds), meanValue = samples.Average(value);
        double squares = samples.Sum(sample => (sample.Seconds - meanTime) * (sample.Seconds - meanTime));
        return squares == 0 ? 0 : samples.Sum(sample => (sample.Seconds - meanTime) * (value(sample) - meanValue)) / squares;
    }
}
