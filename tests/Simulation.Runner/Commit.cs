using System.Diagnostics;

namespace KvStore.Simulation.Runner;

/// <summary>Which source a result belongs to.</summary>
internal static class Commit
{
    public static string Current()
    {
        try
        {
            using Process git = Process.Start(new ProcessStartInfo("git", "describe --always --dirty --abbrev=12") { RedirectStandardOutput = true })!;
            string name = git.StandardOutput.ReadToEnd().Trim();
            return name.Length > 0 ? name : "unknown";
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return "unknown";
        }
    }
}
