using System.Reflection;
using KvStore.Raft.Tests.Harness;

namespace KvStore.Raft.Tests;

/// <summary>
/// Each file in Scenarios is a story with its exact course. After an intended change run once with UPDATE_SCENARIOS=1 and
/// review the difference.
/// </summary>
public sealed class ScenarioTests
{
    private static readonly string Folder = typeof(ScenarioTests).Assembly
        .GetCustomAttributes<AssemblyMetadataAttribute>().Single(attribute => attribute.Key == "ScenarioFolder").Value!;

    public static TheoryData<string> Names => [.. All().Where(name => !IsControl(name))];

    [Theory]
    [MemberData(nameof(Names))]
    public void Scenario_goes_as_written(string name) => PlayFile(name);

    internal static IEnumerable<string> All() =>
        Directory.GetFiles(Folder, "*.txt").Select(path => Path.GetFileNameWithoutExtension(path)).Order();

    internal static bool IsControl(string name) => name.EndsWith("_control", StringComparison.Ordinal);

    internal static void PlayFile(string name)
    {
        string path = Path.Combine(Folder, name + ".txt");
        string expected = File.ReadAllText(path);
        string actual = Scenario.Play(expected);
        if (Environment.GetEnvironmentVariable("UPDATE_SCENARIOS") == "1")
        {
            File.WriteAllText(path, actual);
            return;
        }

        Assert.Equal(expected, actual);
    }
}
