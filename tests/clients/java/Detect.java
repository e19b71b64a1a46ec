import java.io.InputStream;
import java.io.OutputStream;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import javax.net.ssl.HttpsURLConnection;

/** Posts a body to an address twice on one connection, as programs of Azure's tutorials post it. */
public class Detect {
    public static void main(String[] arguments) throws Exception {
        byte[] body = arguments[1].getBytes(StandardCharsets.UTF_8);
        for (int count = 0; count < 2; count++) {
            // The cast fails where the address has no TLS.
            HttpsURLConnection connection =
                (HttpsURLConnection) new URL(arguments[0]).openConnection();
            connection.setRequestMethod("POST");
            connection.setRequestProperty("Content-Type", "application/json");
            connection.setRequestProperty("Ocp-Apim-Subscription-Key", "any");
            connection.setDoOutput(true);
            try (OutputStream out = connection.getOutputStream()) {
                out.write(body);
            }
            int status = connection.getResponseCode();
            try (InputStream in = connection.getInputStream()) {
                String answer = new String(in.readAllBytes(), StandardCharsets.UTF_8);
                System.out.println(status + " " + answer.trim());
            }
        }
    }
}
