namespace KvStore.Architecture.Tests;

internal static class Repository
{
    private static readonly string[] NotOurs = ["bin", "obj", ".git", "data", "TestResults", "BenchmarkDotNet.Artifacts", "out"];

    /// <summary>The folder of KvStore.sln.</summary>
    public static string Root { get; } = Find(new DirectoryInfo(AppContext.BaseDirectory));

    /// <summary>Files that are written by people, as paths from the root.</summary>
    public static IEnumerable<string> Files(string pattern) =>
        Directory.EnumerateFiles(Root, pattern, SearchOption.AllDirectories)
            .Select(path => Path.GetRelativePath(Root, path))
            .Where(path => !path.Split('/').Any(NotOurs.Contains))
            .Order(StringComparer.Ordinal);

    public static string Read(string path) => File.ReadAllText(Path.Combine(Root, path));

    private static string Find(DirectoryInfo folder) =>
        File.Exists(Path.Combine(folder.FullName, "KvStore.sln")) ? folder.FullName : Find(folder.Parent!);
}
