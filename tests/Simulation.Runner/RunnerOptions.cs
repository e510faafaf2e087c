using System.Globalization;

namespace KvStore.Simulation.Runner;

/// <summary>The command line.</summary>
internal sealed record RunnerOptions
{
    public ulong? Seed { get; init; }
    public int? Seeds { get; init; }
    public double Minutes { get; init; } = double.PositiveInfinity;
    public ulong From { get; init; } = 1;
    public int Processes { get; init; } = Environment.ProcessorCount;
    public bool Story { get; init; }

    /// <summary>Internal: a worker of a hunt runs so many seeds from Seed on, and prints its figures too.</summary>
    public int? WorkerSeeds { get; init; }

    public static bool TryParse(string[] args, out RunnerOptions options)
    {
        options = new RunnerOptions();
        for (int i = 0; i < args.Length; i++)
        {
            string? value = i + 1 < args.Length ? args[i + 1] : null;
            switch (args[i])
            {
                case "--story":
                    options = options with { Story = true };
                    break;
                case "--worker-seeds" when int.TryParse(value, CultureInfo.InvariantCulture, out int workerSeeds) && workerSeeds > 0:
                    options = options with { WorkerSeeds = workerSeeds };
                    i++;
                    break;
                case "--seed" when ulong.TryParse(value, CultureInfo.InvariantCulture, out ulong seed):
                    options = options with { Seed = seed };
                    i++;
                    break;
                case "--from" when ulong.TryParse(value, CultureInfo.InvariantCulture, out ulong from):
                    options = options with { From = from };
                    i++;
                    break;
                case "--seeds" when int.TryParse(value, CultureInfo.InvariantCulture, out int seeds) && seeds > 0:
                    options = options with { Seeds = seeds };
                    i++;
                    break;
                case "--processes" when int.TryParse(value, CultureInfo.InvariantCulture, out int processes) && processes > 0:
                    options = options with { Processes = processes };
                    i++;
                    break;
                case "--minutes" when double.TryParse(value, CultureInfo.InvariantCulture, out double minutes) && minutes > 0:
                    options = options with { Minutes = minutes };
                    i++;
                    break;
                default:
                    return false;
            }
        }

        if (options.Seed is null && options.Seeds is null && double.IsFinite(options.Minutes))
        {
            options = options with { Seeds = int.MaxValue };
        }

        return options.Seed is null != options.Seeds is null;
    }
}
