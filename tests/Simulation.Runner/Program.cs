using KvStore.Simulation;
using KvStore.Simulation.Runner;

const string usage = """
    usage: dotnet run -c Release --project tests/Simulation.Runner -- <options>

      --seed N               run one seed; the last line is the result
      --seed N --story       ... and print what happened, in order
      --seeds N              hunt: that many seeds, in parallel processes
      --minutes M            hunt: stop after so many minutes (default: when the seeds are done)
      --from N               hunt: first seed (default 1)
      --processes P          hunt: processes (default: one per core)

    exit code: 0 no violation, 1 a violation, 2 wrong usage
    """;

if (!RunnerOptions.TryParse(args, out RunnerOptions options))
{
    Console.Error.WriteLine(usage);
    return 2;
}

if (options.Seeds is { } seeds)
{
    return Hunt.Run(options, seeds);
}

if (options.WorkerSeeds is { } workerSeeds)
{
    return Hunt.Work(options.Seed!.Value, workerSeeds);
}

RunResult result = SimulationRun.Execute(options.Seed!.Value);
if (options.Story)
{
    foreach (string line in result.Story)
    {
        Console.WriteLine(line);
    }
}

if (result.Violation is not null)
{
    foreach (string line in options.Story ? [] : result.Story.TakeLast(60))
    {
        Console.WriteLine(line);
    }

    Console.WriteLine();
    Console.WriteLine(result.Detail);
    Console.WriteLine($"commit {Commit.Current()}");
    Console.WriteLine($"replay: dotnet run -c Release --project tests/Simulation.Runner -- --seed {result.Seed}");
}

Console.WriteLine(result.ResultLine);
return result.Violation is null ? 0 : 1;
