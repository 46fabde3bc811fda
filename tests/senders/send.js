// Stores files with dcmjs-dimse, each in an association of its own: node send.js PORT FILE...
// Prints a line "STATUS FILE" for each response, among those of its log; ends with 1 if one is missing.
const { Client, requests } = require('dcmjs-dimse');

const [port, ...files] = process.argv.slice(2);

function store(file) {
  return new Promise((resolve, reject) => {
    const client = new Client();
    const request = new requests.CStoreRequest(file);
    let status;
    request.on('response', (response) => { status = response.getStatus(); });
    client.on('associationRejected', () => reject(new Error('rejected')));
    client.on('networkError', reject);
    client.on('closed', () => (status === undefined ? reject(new Error('no response')) : resolve(status)));
    client.addRequest(request);
    client.send('127.0.0.1', Number(port), 'DCMJS', 'ANY');
  });
}

(async () => {
  for (const file of files) {
    console.log(`${await store(file)} ${file}`);
  }
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
